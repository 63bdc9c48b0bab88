"""``POST /shorten``: store a link under the code that the caller asks for, or one drawn for it."""

import base64
import binascii
import json
import secrets
import string
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from common.codes import CODE
from common.http import INTERNAL_ERROR, Event, Response, error_response, json_response
from common.log import logged
from common.table import TABLE, dynamodb
from urls import InvalidUrl, checked_url, leads_back

ALPHABET = string.ascii_lowercase + string.digits
DRAWN_LENGTH = 6
DRAWS = 5


class BadRequest(Exception):
    """What is wrong with the request, in words for the caller; the field's name comes first."""


@dataclass(frozen=True)
class LinkRequest:
    """What a caller asks for; a ``code`` of None means one drawn for it."""

    long_url: str
    code: str | None


@logged(outcome=lambda answer: answer["statusCode"], fallback=INTERNAL_ERROR)
def handler(event: Event, context: Any) -> Response:
    try:
        request = read_request(event)
    except BadRequest as error:
        return error_response(HTTPStatus.BAD_REQUEST, str(error))
    owner_id = event["requestContext"]["authorizer"]["lambda"]["userId"]
    if request.code is None:
        code = store_under_drawn_code(request.long_url, owner_id)
    elif store(request.code, request.long_url, owner_id):
        code = request.code
    else:
        return error_response(HTTPStatus.CONFLICT, f"code {request.code!r} is taken")
    link = {"code": code, "long_url": request.long_url, "owner_id": owner_id}
    return json_response(HTTPStatus.CREATED, link, {"Location": f"r/{code}"})


def read_request(event: Event) -> LinkRequest:
    """The link that an event asks for; raises BadRequest."""
    fields = read_object(event)
    match fields.get("long_url"):
        case str(long_url):
            try:
                long_url = checked_url(long_url)
            except InvalidUrl as error:
                raise BadRequest(f"long_url {error}") from None
        case _:
            raise BadRequest("long_url must be a string")
    if leads_back(long_url, event):
        raise BadRequest("long_url must not be a link of this API")
    if "code" not in fields:
        return LinkRequest(long_url, None)
    code = fields["code"]
    if not isinstance(code, str) or CODE.fullmatch(code) is None:
        raise BadRequest("code must be a string of 1 to 64 of A-Z a-z 0-9 _ -")
    return LinkRequest(long_url, code)


def read_object(event: Event) -> dict[str, Any]:
    """The JSON object in an event's body; raises BadRequest.

    The gateway hands a body over in base64 unless its content type is one that it takes for
    text; ``curl -d`` without a content type is the everyday case.
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


def _refuse(constant: str) -> None:
    """NaN and Infinity, which Python's parser takes for JSON."""
    raise ValueError(constant)


def store_under_drawn_code(long_url: str, owner_id: str) -> str:
    """Store the link under a random code that is free, and return the code."""
    for _ in range(DRAWS):
        code = "".join(secrets.choice(ALPHABET) for _ in range(DRAWN_LENGTH))
        if store(code, long_url, owner_id):
            return code
    raise RuntimeError(f"{DRAWS} codes drawn in a row were all taken")


def store(code: str, long_url: str, owner_id: str) -> bool:
    """Put the link into the table; False, with the table untouched, if the code is taken."""
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item={
                "code": {"S": code},
                "long_url": {"S": long_url},
                "owner_id": {"S": owner_id},
                "click_count": {"N": "0"},
            },
            ConditionExpression="attribute_not_exists(code)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True
