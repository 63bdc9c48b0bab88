#!/usr/bin/env python3
"""Print a token for the API, good for one hour: sign-token.py [USER] [SECRET]

USER is the token's subject, user-1 by default. SECRET is by default the JWT_SECRET of .env,
whose JWT_ISSUER and JWT_AUDIENCE are in the token too when they are set.
"""

import argparse
import base64
import hashlib
import hmac
import json
import time

from lib import settings

LIFETIME = 3600  # seconds


def sign(claims: dict[str, object], secret: str) -> str:
    """A JWT with these claims, signed by HS256 (RFC 7515, RFC 7519)."""
    signed = f'{_segment({"alg": "HS256", "typ": "JWT"})}.{_segment(claims)}'
    return f"{signed}.{_base64url(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def claims_for(user: str, now: float, issuer: str = "", audience: str = "") -> dict[str, object]:
    """What a token says of its user as of ``now`` (Unix time, seconds)."""
    claims: dict[str, object] = {"sub": user, "iat": int(now), "exp": int(now) + LIFETIME}
    return claims | ({"iss": issuer} if issuer else {}) | ({"aud": audience} if audience else {})


def _segment(value: dict[str, object]) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def main() -> None:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(description=f"{summary.partition(':')[0]}. {details}")
    parser.add_argument("user", nargs="?", default="user-1")
    parser.add_argument("secret", nargs="?")
    arguments = parser.parse_args()
    try:
        known = settings.load()
    except settings.SettingsError as error:
        parser.exit(1, f"error: {error}\n")
    secret = known.get("JWT_SECRET", "") if arguments.secret is None else arguments.secret
    if not secret or not arguments.user:
        parser.exit(1, "error: the user and the secret must not be empty (JWT_SECRET in .env)\n")
    claims = claims_for(arguments.user, time.time(), known.get("JWT_ISSUER", ""), known.get("JWT_AUDIENCE", ""))
    print(sign(claims, secret))


if __name__ == "__main__":
    main()
