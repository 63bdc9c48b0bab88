"""Sign users in to the stack's user pool, with the right of an administrator of the account."""

import random
import re
import secrets
import time
from typing import Any

from stack import checks, outputs
from stack.aws import Aws, Local, Remote
from stack.deploy.resources import user_pool
from stack.errors import DeployError
from stack.settings import Settings

# What the users that are made here carry. Nobody else's password is ever changed.
MADE_HERE = {"Name": "profile", "Value": "made by sign-token.py"}
AWS_URL = re.compile(r"https://\w+\.execute-api\.(?P<region>[\w-]+)\.")
ATTEMPTS = 8  # several of these programs may set one user's password at once
LONGEST_PAUSE = 0.2  # seconds between attempts, each of a length of its own, so that they do not meet again


def access_token(settings: Settings, user: str) -> str:
    """Return an access token of the user, who is made if need be. Raise DeployError and the SDK's errors."""
    definition = checks.load(settings.name_prefix)
    aws = Aws((user_pool.SERVICE, "sts"), _target(settings))
    pool = user_pool.find(aws, definition)
    client = pool and user_pool.find_client(aws, definition, pool["Id"])
    if not (pool and client):
        raise DeployError("the stack has no user pool: run scripts/up.sh first, with IDENTITY_PROVIDER=cognito")
    cognito = aws[user_pool.SERVICE]
    _ensure_user(cognito, pool["Id"], user)
    for _ in range(ATTEMPTS):
        password = f"aA1!{secrets.token_urlsafe(24)}"
        cognito.admin_set_user_password(UserPoolId=pool["Id"], Username=user, Password=password, Permanent=True)
        try:
            answer = cognito.admin_initiate_auth(
                UserPoolId=pool["Id"],
                ClientId=client["ClientId"],
                AuthFlow="ADMIN_USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": user, "PASSWORD": password},
            )
        except cognito.exceptions.NotAuthorizedException:
            time.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311
            continue
        token: str = answer["AuthenticationResult"]["AccessToken"]
        return token
    raise DeployError(f"user {user} cannot sign in: enable the user in the pool {pool['Id']}, or choose another")


def _target(settings: Settings) -> Local | Remote:
    """Return where the stack is whose URL is in the outputs folder."""
    port = outputs.published_port(settings.outputs)
    if port is not None:
        return Local(port, settings.aws_default_region)
    published = settings.outputs / outputs.API_URL_FILE
    if not published.exists():
        raise DeployError(f"no stack is up, or its last build failed ({published} is missing): run scripts/up.sh first")
    found = AWS_URL.match(published.read_text())
    return Remote(region=found["region"] if found else settings.aws_default_region)


def _ensure_user(cognito: Any, pool_id: str, user: str) -> None:
    try:
        cognito.admin_create_user(
            UserPoolId=pool_id, Username=user, MessageAction="SUPPRESS", UserAttributes=[MADE_HERE]
        )
    except cognito.exceptions.UsernameExistsException:
        found = cognito.admin_get_user(UserPoolId=pool_id, Username=user)
        if MADE_HERE not in found["UserAttributes"]:
            raise DeployError(
                f"user {user} was not made by this script, which would have to change the password: choose another name"
            ) from None
