"""The Lambda authorizer of the routes that need a user: HS256 JWTs, with the standard library alone.

It answers in the simple format and denies by default: a token that does not verify, for whatever
reason, is ``{"isAuthorized": false}``, never an exception (the gateway would make it a 500). The
reason is in the log, and nowhere else.
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
from typing import Any, TypeGuard

from common.http import Event
from common.log import logged, note

SECRET = os.environ.get("JWT_SECRET", "")
ISSUER = os.environ.get("JWT_ISSUER", "")
AUDIENCE = os.environ.get("JWT_AUDIENCE", "")

# RFC 6750, 2.1, with the compact form of RFC 7515, 7.1: three segments, none of them empty.
BEARER = re.compile(r"(?i:bearer) +(?P<signed>[\w-]+\.[\w-]+)\.(?P<signature>[\w-]+)", re.ASCII)
DENY = {"isAuthorized": False}


class InvalidToken(Exception):
    """Say in a few fixed words why a token proves nothing. These words are logged: nothing of the token is in them."""


@logged(outcome=lambda answer: "allow" if answer["isAuthorized"] else "deny", fallback=DENY)
def handler(event: Event, context: Any) -> dict[str, Any]:
    try:
        subject = verify(event.get("headers", {}).get("authorization", ""), time.time())
    except InvalidToken as error:
        note(reason=str(error))
        return DENY
    return {"isAuthorized": True, "context": {"userId": subject}}


def verify(authorization: str, now: float) -> str:
    """Return the ``sub`` of the token in an Authorization header, as of ``now`` (Unix time, seconds).

    Raise InvalidToken unless the header is ``Bearer`` and a JWT that is signed with SECRET by
    HS256 and whose claims hold. See RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best practice).
    """
    if not SECRET:
        raise InvalidToken("JWT_SECRET is not set")
    token = BEARER.fullmatch(authorization)
    if token is None:
        raise InvalidToken("malformed")
    header, payload = token["signed"].split(".")
    check_header(decode_object(header))
    signature = hmac.digest(SECRET.encode(), token["signed"].encode(), hashlib.sha256)
    if not hmac.compare_digest(signature, decode_segment(token["signature"])):
        raise InvalidToken("signature")
    return check_claims(decode_object(payload), now)


def check_header(header: dict[str, Any]) -> None:
    """Raise InvalidToken unless the algorithm is HS256; a header says nothing else that is heeded (RFC 8725, 3.1)."""
    if header.get("alg") != "HS256":
        raise InvalidToken("algorithm")
    if "crit" in header:
        raise InvalidToken("critical extension")


def check_claims(claims: dict[str, Any], now: float) -> str:
    """Return the ``sub`` of ``claims`` if they hold at ``now``. Raise InvalidToken if they do not."""
    subject, expiry, start = claims.get("sub"), claims.get("exp"), claims.get("nbf", now)
    audiences = claims["aud"] if isinstance(claims.get("aud"), list) else [claims.get("aud")]
    if not is_number(expiry):
        raise InvalidToken("no expiry")
    if expiry <= now:
        raise InvalidToken("expired")
    if not is_number(start) or start > now:
        raise InvalidToken("not yet valid")
    if ISSUER and claims.get("iss") != ISSUER:
        raise InvalidToken("issuer")
    if AUDIENCE and not (AUDIENCE in audiences and all(isinstance(one, str) for one in audiences)):
        raise InvalidToken("audience")
    if not is_text(subject):
        raise InvalidToken("subject")
    return str(subject)


def is_number(value: object) -> TypeGuard[float]:
    """Return True for a NumericDate (RFC 7519, 2): a JSON number, which true and infinity are not."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def is_text(value: object) -> bool:
    """Return True for a string with characters that UTF-8 can store (JSON may carry half a surrogate pair)."""
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)


def decode_segment(segment: str) -> bytes:
    """Return the bytes of base64url without padding (RFC 7515, 2).

    Raise InvalidToken unless it is in its canonical spelling (RFC 4648, 3.5).
    """
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidToken("malformed") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise InvalidToken("malformed")
    return decoded


def decode_object(segment: str) -> dict[str, Any]:
    """Return the JSON object in a segment. Raise InvalidToken if there is none, or if a name is a duplicate."""
    try:
        value = json.loads(decode_segment(segment).decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidToken("malformed") from None
    if not isinstance(value, dict):
        raise InvalidToken("malformed")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as an object. Raise InvalidToken if a name is a duplicate (RFC 7519, 4)."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidToken("malformed")
    return value


def _refuse(constant: str) -> None:
    """Raise InvalidToken for NaN and Infinity, which Python's parser takes for JSON."""
    raise InvalidToken("malformed")
