"""Read requests and write answers in API Gateway's payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

Event = Mapping[str, Any]
Response = dict[str, Any]


class BadRequest(Exception):
    """Say what is wrong with the request, in words for the caller; the field's name comes first."""


def read_json_body(event: Event) -> dict[str, Any]:
    """Return the JSON object in the body of an event. Raise BadRequest if there is none.

    The gateway encodes a body in base64 unless its content type is one that it takes for text;
    ``curl -d`` without a content type is the everyday case.
    """
    body: str | bytes = event.get("body") or ""
    if not body:
        raise BadRequest("body is missing: send a JSON object")
    try:
        if event.get("isBase64Encoded"):
            body = base64.b64decode(body, validate=True).decode()
        value = json.loads(body, parse_constant=_refuse)
    except (binascii.Error, ValueError, RecursionError):
        raise BadRequest("body must be JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise BadRequest("body must be a JSON object")
    return value


def user_id(event: Event) -> str:
    """Return the user whom the authorizer let through. Raise RuntimeError if the route has no authorizer."""
    try:
        user: str = event["requestContext"]["authorizer"]["lambda"]["userId"]
    except KeyError:
        route = event.get("routeKey")
        raise RuntimeError(f"{route} has no user: give its Route authorized=True in the definition") from None
    return user


def json_response(status: HTTPStatus, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with ``body`` as JSON."""
    return {
        "statusCode": int(status),
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": json.dumps(body),
    }


def error_response(status: HTTPStatus, message: str) -> Response:
    """Return an error in the one shape that all errors have: ``{"error": message}``."""
    return json_response(status, {"error": message})


def _refuse(constant: str) -> None:
    """Raise ValueError for NaN and Infinity, which Python's parser takes for JSON."""
    raise ValueError(constant)


INTERNAL_ERROR = error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
