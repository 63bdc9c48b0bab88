"""The Lambda authorizer of the routes that need a user: JWTs, with the standard library alone.

The configuration decides how tokens are signed, never the token: by HS256 with JWT_SECRET, or, with an
IDENTITY_PROVIDER, by RS256 with one of its keys.

It answers in the simple format and denies by default: a token that does not verify, for whatever
reason, is ``{"isAuthorized": false}``, never an exception (the gateway would make it a 500). The
reason is in the log, and nowhere else.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

import hashlib
import hmac
import math
import os
import re
import time
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urljoin

from common.http import Event
from common.log import logged, note
from jose import InvalidToken, decode_object, decode_segment

if TYPE_CHECKING:
    from jwks import Provider

SECRET = os.environ.get("JWT_SECRET", "")
IDENTITY_PROVIDER = os.environ.get("IDENTITY_PROVIDER", "")
ISSUER = IDENTITY_PROVIDER or os.environ.get("JWT_ISSUER", "")
AUDIENCE = os.environ.get("JWT_AUDIENCE", "")
ALGORITHM = "RS256" if IDENTITY_PROVIDER else "HS256"

# RFC 6750, 2.1, with the compact form of RFC 7515, 7.1: three segments, none of them empty.
BEARER = re.compile(r"(?i:bearer) +(?P<signed>[\w-]+\.[\w-]+)\.(?P<signature>[\w-]+)", re.ASCII)
DENY = {"isAuthorized": False}


def identity_provider() -> "Provider | None":
    """Return the provider that the environment names. Without one, nothing that speaks HTTP is loaded.

    JWKS_PATH is where a local engine, whose URL differs from one function's place to another's, has its keys.
    """
    if not IDENTITY_PROVIDER:
        return None
    from jwks import Provider

    engine = os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/")
    path = os.environ.get("JWKS_PATH", "")
    keys_url = urljoin(f"{engine}/", path) if path else ""
    return Provider(IDENTITY_PROVIDER, keys_url, engine, float(os.environ.get("JWKS_TTL") or 300))


PROVIDER = identity_provider()


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

    Raise InvalidToken unless the header is ``Bearer`` and a JWT that is signed as configured and
    whose claims hold. See RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best practice).
    """
    token = BEARER.fullmatch(authorization)
    if token is None:
        raise InvalidToken("malformed")
    encoded_header, payload = token["signed"].split(".")
    header = decode_object(encoded_header)
    check_header(header)
    check_signature(header, token["signed"].encode(), decode_segment(token["signature"]), now)
    return check_claims(decode_object(payload), now)


def check_header(header: dict[str, Any]) -> None:
    """Raise InvalidToken unless the algorithm is the configured one.

    But for the name of a key, a header says nothing else that is heeded (RFC 8725, 3.1 and 3.10).
    """
    if header.get("alg") != ALGORITHM:
        raise InvalidToken("algorithm")
    if "crit" in header:
        raise InvalidToken("critical extension")


def check_signature(header: dict[str, Any], signed: bytes, signature: bytes, now: float) -> None:
    """Raise InvalidToken unless the signature is the provider's, or without one that of SECRET."""
    if PROVIDER:
        valid = PROVIDER.key(header.get("kid"), now).verify(signed, signature)
    elif SECRET:
        valid = hmac.compare_digest(hmac.digest(SECRET.encode(), signed, hashlib.sha256), signature)
    else:
        raise InvalidToken("JWT_SECRET is not set")
    if not valid:
        raise InvalidToken("signature")


def check_claims(claims: dict[str, Any], now: float) -> str:
    """Return the ``sub`` of ``claims`` if they hold at ``now``. Raise InvalidToken if they do not.

    A provider's access tokens may have a ``client_id`` in place of ``aud``, and say that they are access tokens.
    """
    subject, expiry, start = claims.get("sub"), claims.get("exp"), claims.get("nbf", now)
    audience = claims.get("client_id") if PROVIDER and "aud" not in claims else claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
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
    if PROVIDER and claims.get("token_use", "access") != "access":
        raise InvalidToken("no access token")
    if not is_text(subject):
        raise InvalidToken("subject")
    return str(subject)


def is_number(value: object) -> TypeGuard[float]:
    """Return True for a NumericDate (RFC 7519, 2): a JSON number, which true and infinity are not."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def is_text(value: object) -> bool:
    """Return True for a string with characters that UTF-8 can store (JSON may carry half a surrogate pair)."""
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)
