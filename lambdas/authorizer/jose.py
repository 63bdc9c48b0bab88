"""Read the parts of a JWT, strictly: base64url in its canonical spelling, and JSON objects without duplicate names."""

import base64
import binascii
import json
from typing import Any


class InvalidToken(Exception):
    """Say in a few fixed words why a token proves nothing. These words are logged: nothing of the token is in them."""


def decode_segment(segment: str) -> bytes:
    """Return the bytes of base64url without padding (RFC 7515, 2).

    Raise InvalidToken unless it is in its canonical spelling (RFC 4648, 3.5).
    """
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
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
