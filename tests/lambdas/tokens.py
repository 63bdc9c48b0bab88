"""Make tokens, valid and invalid."""

import base64
import hashlib
import hmac
import json

SECRET = "a secret of the tests, of 32 bytes or more"
NOW = 1_800_000_000  # Unix time, the authorizer's fixed time
HEADER: dict[str, object] = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, object] = {"sub": "user-1", "exp": NOW + 60}


def token(header: object = HEADER, claims: object = CLAIMS, secret: str = SECRET, digest: str = "sha256") -> str:
    """Return a token signed with ``secret``; bytes are kept, anything else becomes JSON."""
    return sign(f"{segment(header)}.{segment(claims)}", secret, digest)


def sign(signed: str, secret: str = SECRET, digest: str = "sha256") -> str:
    """Return ``signed`` with its signature as one more segment."""
    return f"{signed}.{segment(hmac.digest(secret.encode(), signed.encode(), getattr(hashlib, digest)))}"


def segment(value: object) -> str:
    """Return base64url without padding."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
