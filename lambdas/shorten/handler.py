"""``POST /shorten``: store a link under the code that the caller asks for, or under one drawn at random."""

import secrets
import string
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from common import links
from common.http import (
    INTERNAL_ERROR,
    BadRequest,
    Event,
    Response,
    error_response,
    json_response,
    read_json_body,
    user_id,
)
from common.links import CODE, Link
from common.log import logged
from urls import InvalidUrl, checked_url, leads_back

ALPHABET = string.ascii_lowercase + string.digits
DRAWN_LENGTH = 6
DRAWS = 5


@dataclass(frozen=True)
class LinkRequest:
    """Hold what a caller asks for; a ``code`` of None asks for one drawn at random."""

    long_url: str
    code: str | None


@logged(outcome=lambda answer: answer["statusCode"], fallback=INTERNAL_ERROR)
def handler(event: Event, context: Any) -> Response:
    try:
        request = read_request(event)
    except BadRequest as error:
        return error_response(HTTPStatus.BAD_REQUEST, str(error))
    link = store(request, user_id(event))
    if link is None:
        return error_response(HTTPStatus.CONFLICT, f"code {request.code!r} is taken")
    body = {"code": link.code, "long_url": link.long_url, "owner_id": link.owner_id}
    return json_response(HTTPStatus.CREATED, body, {"Location": f"r/{link.code}"})


def read_request(event: Event) -> LinkRequest:
    """Return the link that an event asks for. Raise BadRequest if it cannot be had."""
    fields = read_json_body(event)
    long_url, code = fields.get("long_url"), fields.get("code")
    if not isinstance(long_url, str):
        raise BadRequest("long_url must be a string")
    try:
        long_url = checked_url(long_url)
    except InvalidUrl as error:
        raise BadRequest(f"long_url {error}") from None
    if leads_back(long_url, event):
        raise BadRequest("long_url must not be a link of this API")
    if "code" in fields and not (isinstance(code, str) and CODE.fullmatch(code)):
        raise BadRequest("code must be a string of 1 to 64 of A-Z a-z 0-9 _ -")
    return LinkRequest(long_url, code)


def store(request: LinkRequest, owner_id: str) -> Link | None:
    """Store a link and return it, or return None if the code that the caller asks for is taken."""
    if request.code is not None:
        link = Link(request.code, request.long_url, owner_id)
        return link if links.put(link) else None
    for _ in range(DRAWS):
        link = Link(_drawn_code(), request.long_url, owner_id)
        if links.put(link):
            return link
    raise RuntimeError(f"{DRAWS} codes drawn in a row were all taken")


def _drawn_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(DRAWN_LENGTH))
