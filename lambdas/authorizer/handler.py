"""The Lambda authorizer of ``POST /shorten``: HS256 JWTs, with the standard library alone.

It answers in the simple format and denies by default: whatever does not verify, for whatever
reason, is ``{"isAuthorized": false}``, never an exception (the gateway would make it a 500).
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

import base64
import binascii
import hashlib
import hmac
import json
import math
import os
import re
import time
from typing import Any

from common.http import Event
from common.log import logged

SECRET = os.environ.get("JWT_SECRET", "")
ISSUER = os.environ.get("JWT_ISSUER", "")
AUDIENCE = os.environ.get("JWT_AUDIENCE", "")

# RFC 6750, 2.1, with the compact form of RFC 7515, 7.1: three segments, none of them empty.
BEARER = re.compile(r"(?i:bearer) +(?P<signed>[\w-]+\.[\w-]+)\.(?P<signature>[\w-]+)", re.ASCII)
DENY = {"isAuthorized": False}


class InvalidToken(Exception):
    """The token proves nothing."""


@logged(outcome=lambda answer: "allow" if answer["isAuthorized"] else "deny", fallback=DENY)
def handler(event: Event, context: Any) -> dict[str, Any]:
    try:
        subject = verify(event.get("headers", {}).get("authorization", ""), time.time())
    except InvalidToken:
        return DENY
    return {"isAuthorized": True, "context": {"userId": subject}}


def verify(authorization: str, now: float) -> str:
    """The ``sub`` of the token in an Authorization header, as of ``now`` (Unix time, seconds).

    Raises InvalidToken unless the header is ``Bearer`` and a JWT that is signed with SECRET by
    HS256 and whose claims hold. See RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best practice).
    """
    token = BEARER.fullmatch(authorization)
    if token is None or not SECRET:
        raise InvalidToken
    signature = hmac.digest(SECRET.encode(), token["signed"].encode(), hashlib.sha256)
    if not hmac.compare_digest(signature, decode_segment(token["signature"])):
        raise InvalidToken
    header, payload = map(decode_object, token["signed"].split("."))
    if header.get("alg") != "HS256" or "crit" in header:
        raise InvalidToken
    return check_claims(payload, now)


def check_claims(claims: dict[str, Any], now: float) -> str:
    """The ``sub`` of ``claims`` if they hold at ``now``; raises InvalidToken if they do not."""
    subject = claims.get("sub")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if (
        is_text(subject)
        and is_number(claims.get("exp"))
        and claims["exp"] > now
        and is_number(claims.get("nbf", now))
        and claims.get("nbf", now) <= now
        and (not ISSUER or claims.get("iss") == ISSUER)
        and (not AUDIENCE or (AUDIENCE in audiences and all(isinstance(one, str) for one in audiences)))
    ):
        return str(subject)
    raise InvalidToken


def is_number(value: object) -> bool:
    """A NumericDate (RFC 7519, 2): a JSON number, which true and infinity are not."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def is_text(value: object) -> bool:
    """A string that is not empty and can be stored as UTF-8 (JSON may carry half a surrogate pair)."""
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)


def decode_segment(segment: str) -> bytes:
    """base64url without padding (RFC 7515, 2), and only its canonical spelling (RFC 4648, 3.5)."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidToken from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise InvalidToken
    return decoded


def decode_object(segment: str) -> dict[str, Any]:
    """The JSON object in a segment, each of whose names stands there once (RFC 7519, 4)."""
    try:
        value = json.loads(decode_segment(segment).decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidToken from None
    if not isinstance(value, dict):
        raise InvalidToken
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidToken
    return value


def _refuse(constant: str) -> None:
    """NaN and Infinity, which Python's parser takes for JSON."""
    raise InvalidToken
