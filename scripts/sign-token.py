#!/usr/bin/env python3
"""Print a token for the API, good for one hour: sign-token.py [USER] [SECRET]

USER is the token's subject, user-1 by default. SECRET is by default the JWT_SECRET of .env,
whose JWT_ISSUER and JWT_AUDIENCE are in the token too when they are set.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deploy import tokens
from lib import settings

LIFETIME = 3600  # seconds


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
    issuer, audience = known.get("JWT_ISSUER", ""), known.get("JWT_AUDIENCE", "")
    print(tokens.sign(arguments.user, secret, time.time(), LIFETIME, issuer, audience))


if __name__ == "__main__":
    main()
