"""Tokens that the authorizer accepts: JWTs signed by HS256 (RFC 7515, RFC 7519)."""

import base64
import hashlib
import hmac
import json


def sign(user: str, secret: str, now: float, lifetime: int, issuer: str = "", audience: str = "") -> str:
    """Return a token whose subject is ``user``, valid for ``lifetime`` seconds from ``now`` (Unix time).

    The token has no ``iss`` or ``aud`` where ``issuer`` or ``audience`` is empty.
    """
    claims = {"sub": user, "iat": int(now), "exp": int(now) + lifetime, "iss": issuer, "aud": audience}
    header = _segment({"alg": "HS256", "typ": "JWT"})
    signed = f"{header}.{_segment({name: value for name, value in claims.items() if value != ''})}"
    return f"{signed}.{_base64url(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def _segment(value: dict[str, object]) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
