"""Tokens, well and badly made."""

import base64
import hashlib
import hmac
import json

SECRET = "a secret of the tests, of 32 bytes or more"
NOW = 1_800_000_000  # Unix time, at which the authorizer's clock stands still
HEADER: dict[str, object] = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, object] = {"sub": "user-1", "exp": NOW + 60}


def token(header: object = HEADER, claims: object = CLAIMS, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token signed with ``secret``, whatever is in it; bytes stand for themselves, the rest becomes JSON."""
    return sign(f"{segment(header)}.{segment(claims)}", secret, digest)


def sign(signed: str, secret: str = SECRET, digest: str = "sha256") -> str:
    """``signed`` with its signature as one more segment."""
    return f"{signed}.{segment(hmac.digest(secret.encode(), signed.encode(), getattr(hashlib, digest)))}"


def segment(value: object) -> str:
    """base64url without padding."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
