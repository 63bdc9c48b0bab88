"""Read the events of API Gateway in tests/events (payload format 2.0), and change what a test needs."""

import base64
import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).resolve().parent.parent / "events"
Event = dict[str, Any]


def recorded(name: str) -> Event:
    event: Event = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def post(body: object, user: str = "user-1") -> Event:
    """Return the event of POST /shorten with a JSON body, by a user whom the authorizer let through."""
    return post_text(json.dumps(body), user)


def post_text(body: str, user: str = "user-1") -> Event:
    """Return the event of POST /shorten with any text as its body."""
    event = recorded("shorten") | {"body": body}
    event["requestContext"]["authorizer"]["lambda"]["userId"] = user
    return event


def post_bytes(body: bytes) -> Event:
    """Return the event of POST /shorten with any bytes: without a content type for text the gateway encodes them."""
    return recorded("shorten-base64") | {"body": base64.b64encode(body).decode()}


def get(code: str) -> Event:
    """Return the event of GET /r/{code}."""
    return recorded("redirect-get") | {"pathParameters": {"code": code}}


def head(code: str) -> Event:
    """Return the event of HEAD /r/{code}."""
    return recorded("redirect-head") | {"pathParameters": {"code": code}}


def own(user: str = "user-1", **query: str) -> Event:
    """Return the event of GET /links with these query parameters."""
    event = recorded("links") | {"queryStringParameters": query or None}
    event["requestContext"]["authorizer"]["lambda"]["userId"] = user
    return event


def own_link(method: str, code: str, user: str = "user-1") -> Event:
    """Return the event of GET or DELETE /links/{code}."""
    event = own(user) | {"routeKey": f"{method} /links/{{code}}", "pathParameters": {"code": code}}
    event["requestContext"]["http"]["method"] = method
    return event


def authorize(header: str) -> Event:
    """Return the authorizer's event for a request with this Authorization header."""
    event = recorded("authorizer") | {"identitySource": [header]}
    event["headers"]["authorization"] = header
    return event
