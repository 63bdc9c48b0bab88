"""``GET /links``, ``GET`` and ``DELETE /links/{code}``: list, show and delete the caller's own links."""

import re
from http import HTTPStatus
from typing import Any

from common import links
from common.http import INTERNAL_ERROR, BadRequest, Event, Response, error_response, json_response, user_id
from common.links import Link
from common.log import logged
from cursor import after, cursor

LIMIT = re.compile("[1-9][0-9]?|100")
DEFAULT_LIMIT = "50"
PRIVATE = {"Cache-Control": "no-store"}  # the count grows, and a shared computer keeps nothing


@logged(outcome=lambda answer: answer["statusCode"], fallback=INTERNAL_ERROR)
def handler(event: Event, context: Any) -> Response:
    owner_id = user_id(event)
    if event["routeKey"] == "GET /links":
        return show_page(event.get("queryStringParameters") or {}, owner_id)
    code = event["pathParameters"]["code"]
    if event["routeKey"] == "DELETE /links/{code}":
        if links.delete(code, owner_id):
            return {"statusCode": int(HTTPStatus.NO_CONTENT), "headers": {}, "body": ""}
    elif link := links.get(code, owner_id):
        return json_response(HTTPStatus.OK, described(link), PRIVATE)
    return error_response(HTTPStatus.NOT_FOUND, "not found")  # whether it is another's or nobody's


def show_page(query: dict[str, str], owner_id: str) -> Response:
    """Return the answer to ``GET /links`` with these query parameters."""
    limit = query.get("limit", DEFAULT_LIMIT)
    try:
        if not query.keys() <= {"limit", "next"}:
            raise BadRequest("query may have limit and next, and nothing else")
        if LIMIT.fullmatch(limit) is None:
            raise BadRequest("limit must be a number from 1 to 100")
        start = after(query["next"], owner_id) if "next" in query else ""
    except BadRequest as error:
        return error_response(HTTPStatus.BAD_REQUEST, str(error))
    page, last = links.page(owner_id, int(limit), start)
    body: dict[str, Any] = {"links": [described(link) for link in page]}
    if last:
        body["next"] = cursor(last, owner_id)
    return json_response(HTTPStatus.OK, body, PRIVATE)


def described(link: Link) -> dict[str, Any]:
    """Return a link as its owner sees it."""
    described: dict[str, Any] = {"code": link.code, "long_url": link.long_url, "click_count": link.click_count}
    if link.expires_at is not None:
        described["expires_at"] = link.expires_at
    return described
