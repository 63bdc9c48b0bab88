"""Print a token for the API, good for one hour: sign-token.py [USER] [SECRET]

USER is the token's subject, user-1 by default. SECRET is by default the JWT_SECRET of .env,
whose JWT_ISSUER and JWT_AUDIENCE are in the token too when they are set. With
IDENTITY_PROVIDER=cognito, USER is a user of the stack's pool, who is made if need be.
"""

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from stack import dotenv, tokens
from stack.errors import DeployError, SettingError
from stack.settings import COGNITO, PROJECT, Settings

LIFETIME = 3600  # seconds
STDOUT = 1
VENV = PROJECT / ".venv/bin/python"


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like those of all the scripts."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"error: {message}: {self.prog} [USER] [SECRET] (--help)\n")


def main() -> int:
    """Print the token: 0, or 1 with one line on stderr, and nothing on stdout."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = Parser(prog="scripts/sign-token.py", description=f"{summary.partition(':')[0]}. {details}")
    parser.add_argument("user", nargs="?", default="user-1")
    parser.add_argument("secret", nargs="?")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment(dotenv.load())
    except SettingError as error:
        return fail(str(error))
    if settings.identity_provider and arguments.secret is not None:
        return fail("SECRET is for tokens that JWT_SECRET signs: leave it out with an IDENTITY_PROVIDER")
    if settings.identity_provider not in ("", COGNITO):
        return fail(f"tokens come from {settings.identity_provider}: get one there (docs/tokens.md says how)")
    secret = settings.jwt_secret if arguments.secret is None else arguments.secret
    if not arguments.user or not secret:
        return fail("USER and SECRET must not be empty: leave them out for user-1 and the JWT_SECRET of .env")
    try:
        (arguments.user + secret).encode()
    except UnicodeEncodeError:
        return fail("USER and SECRET must be UTF-8: use letters that are")
    try:
        if settings.identity_provider:
            token = sign_in(settings, arguments.user)
        else:
            token = tokens.sign(
                arguments.user, secret, time.time(), LIFETIME, settings.jwt_issuer, settings.jwt_audience
            )
    except DeployError as error:
        return fail(str(error))
    try:
        os.write(STDOUT, f"{token}\n".encode())  # print() says nothing about a stdout that is closed
    except OSError as error:
        return fail(f"the token cannot be written to stdout ({error.strerror}): open it, or make room")
    return 0


def sign_in(settings: Settings, user: str) -> str:
    """Return a token of the stack's pool. Raise DeployError if there is none, in one line.

    That takes boto3: if this Python has none, .venv's takes over.
    """
    if importlib.util.find_spec("botocore") is None:
        if not VENV.exists() or Path(sys.executable) == VENV:
            raise DeployError("boto3 is needed to sign in: run scripts/up.sh, which installs it into .venv")
        os.execv(VENV, [str(VENV), "-E", "-X", "utf8", "-m", "stack.commands.token", *sys.argv[1:]])  # noqa: S606
    from stack.aws_errors import EXPLAINED, explain
    from stack.commands import pool

    try:
        return pool.access_token(settings, user)
    except EXPLAINED as error:
        raise DeployError(explain(error)) from error


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
