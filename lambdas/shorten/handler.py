"""``POST /shorten``: store a link under the code that the caller asks for, or under one drawn at random."""

import secrets
import string
import time
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
LONGEST_LIFE = 10 * 365 * 24 * 60 * 60  # seconds


@dataclass(frozen=True)
class LinkRequest:
    """Hold what a caller asks for; a ``code`` of None asks for one drawn at random."""

    long_url: str
    code: str | None
    expires_at: int | None


@logged(outcome=lambda answer: answer["statusCode"], fallback=INTERNAL_ERROR)
def handler(event: Event, context: Any) -> Response:
    now = time.time()
    try:
        request = read_request(event, now)
    except BadRequest as error:
        return error_response(HTTPStatus.BAD_REQUEST, str(error))
    owner_id = user_id(event)
    if not links.can_own(owner_id):
        return error_response(HTTPStatus.BAD_REQUEST, f"the token's sub must have at most {links.LONGEST_OWNER} bytes")
    link = store(request, owner_id, now)
    if link is None:
        return error_response(HTTPStatus.CONFLICT, f"code {request.code!r} is taken")
    body: dict[str, Any] = {"code": link.code, "long_url": link.long_url, "owner_id": link.owner_id}
    if link.expires_at is not None:
        body["expires_at"] = link.expires_at
    return json_response(HTTPStatus.CREATED, body, {"Location": f"r/{link.code}"})


def read_request(event: Event, now: float) -> LinkRequest:
    """Return the link that an event asks for. Raise BadRequest if it cannot be had."""
    fields = read_json_body(event)
    long_url, code, expires_at = fields.get("long_url"), fields.get("code"), fields.get("expires_at")
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
    if "expires_at" in fields:
        if type(expires_at) is not int:  # True is an int too
            raise BadRequest("expires_at must be an integer: a Unix time in seconds")
        if not now < expires_at <= now + LONGEST_LIFE:
            raise BadRequest("expires_at must lie in the future, and at most ten years ahead")
    return LinkRequest(long_url, code, expires_at)


def store(request: LinkRequest, owner_id: str, now: float) -> Link | None:
    """Store a link and return it, or return None if the code that the caller asks for is taken."""
    if request.code is not None:
        link = Link(request.code, request.long_url, owner_id, expires_at=request.expires_at)
        return link if links.put(link, now) else None
    for _ in range(DRAWS):
        link = Link(_drawn_code(), request.long_url, owner_id, expires_at=request.expires_at)
        if links.put(link, now):
            return link
    raise RuntimeError(f"{DRAWS} codes drawn in a row were all taken")


def _drawn_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(DRAWN_LENGTH))
