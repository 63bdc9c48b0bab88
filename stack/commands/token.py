"""Print a token for the API, good for one hour: sign-token.py [USER] [SECRET]

USER is the token's subject, user-1 by default. SECRET is by default the JWT_SECRET of .env,
whose JWT_ISSUER and JWT_AUDIENCE are in the token too when they are set.
"""

import argparse
import time

from stack import dotenv, tokens

LIFETIME = 3600  # seconds


def main() -> None:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="scripts/sign-token.py", description=f"{summary.partition(':')[0]}. {details}"
    )
    parser.add_argument("user", nargs="?", default="user-1")
    parser.add_argument("secret", nargs="?")
    arguments = parser.parse_args()
    try:
        known = dotenv.load()
    except dotenv.SettingsError as error:
        parser.exit(1, f"error: {error}\n")
    secret = known.get("JWT_SECRET", "") if arguments.secret is None else arguments.secret
    if not secret or not arguments.user:
        parser.exit(1, "error: the user and the secret must not be empty (JWT_SECRET in .env)\n")
    issuer, audience = known.get("JWT_ISSUER", ""), known.get("JWT_AUDIENCE", "")
    print(tokens.sign(arguments.user, secret, time.time(), LIFETIME, issuer, audience))


if __name__ == "__main__":
    main()
