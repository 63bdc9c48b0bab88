"""The user pool and its client, which issue the tokens with IDENTITY_PROVIDER=cognito.

https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_CreateUserPool.html
https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_CreateUserPoolClient.html
"""

import base64
import json
from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from stack import http_client
from stack.aws import Aws, NotSent
from stack.deploy import mark
from stack.deploy.resources import Removals, removal
from stack.deploy.steps import Change, Ensured, drift
from stack.errors import DeployError
from stack.model import Definition, Function
from stack.settings import COGNITO, Settings

SERVICE = "cognito-idp"
PAGE = 60  # as many as AWS gives at once
ONLY_ADMINISTRATORS = {"AllowAdminCreateUserOnly": True}  # otherwise everybody could sign up, and shorten links
CLIENT = {
    "ExplicitAuthFlows": [
        "ALLOW_ADMIN_USER_PASSWORD_AUTH",  # of sign-token.py
        "ALLOW_REFRESH_TOKEN_AUTH",
        "ALLOW_USER_PASSWORD_AUTH",  # of the page
        "ALLOW_USER_SRP_AUTH",
    ],
    "AccessTokenValidity": 60,
    "TokenValidityUnits": {"AccessToken": "minutes"},
    "PreventUserExistenceErrors": "ENABLED",
}
SMALLEST_KEY = 2048 // 8  # bytes


def ensure(aws: Aws, definition: Definition) -> Ensured:
    """Create the user pool, or restore who may add users; the ID is the pool's.

    Raises DeployError if the one of that name is not this stack's.
    """
    cognito = aws[SERVICE]
    pool = find(aws, definition)
    if pool is None:
        created = cognito.create_user_pool(
            PoolName=definition.stack_name,
            AdminCreateUserConfig=ONLY_ADMINISTRATORS,
            UserPoolTags=mark.tags(aws, definition),
        )["UserPool"]
        made = find(aws, definition) or created  # the older one, if another build has made one too and both are listed
        return Ensured(Change.CREATED, made["Id"])
    if not drift(pool.get("AdminCreateUserConfig", {}), ONLY_ADMINISTRATORS):
        return Ensured(Change.UNCHANGED, pool["Id"])
    kept = _settings_of(cognito, "UpdateUserPool", pool)
    with NotSent.known_as(pool["Id"]):
        cognito.update_user_pool(**{**kept, "UserPoolId": pool["Id"], "AdminCreateUserConfig": ONLY_ADMINISTRATORS})
    return Ensured(Change.UPDATED, pool["Id"])


def ensure_client(aws: Aws, definition: Definition, pool_id: str) -> Ensured:
    """Create the pool's client, or restore its settings; the ID is the client's."""
    cognito = aws[SERVICE]
    client = find_client(aws, definition, pool_id)
    if client is None:
        name = definition.stack_name
        created = cognito.create_user_pool_client(UserPoolId=pool_id, ClientName=name, **CLIENT)["UserPoolClient"]
        made = find_client(aws, definition, pool_id) or created
        return Ensured(Change.CREATED, made["ClientId"])
    if not drift(client, CLIENT):
        return Ensured(Change.UNCHANGED, client["ClientId"])
    cognito.update_user_pool_client(**{**_settings_of(cognito, "UpdateUserPoolClient", client), **CLIENT})
    return Ensured(Change.UPDATED, client["ClientId"])


def removals(aws: Aws, definition: Definition) -> Removals:
    """Yield what removes the pool, with its client and its users. No build does: users are data."""
    cognito = aws[SERVICE]
    gone = cognito.exceptions.ResourceNotFoundException
    for pool in _alike(aws, definition):
        if mark.is_on(aws, definition, pool.get("UserPoolTags")):
            yield definition.stack_name, removal(partial(cognito.delete_user_pool, UserPoolId=pool["Id"]), gone)


def find(aws: Aws, definition: Definition) -> dict[str, Any] | None:
    """Return this stack's pool, the oldest of several. Raise DeployError if there is only a stranger's of its name."""
    alike = list(_alike(aws, definition))
    ours = [pool for pool in alike if mark.is_on(aws, definition, pool.get("UserPoolTags"))]
    if alike and not ours:
        raise mark.stranger("user pool", definition.stack_name)
    return min(ours, key=lambda pool: (pool["CreationDate"], pool["Id"]), default=None)


def find_client(aws: Aws, definition: Definition, pool_id: str) -> dict[str, Any] | None:
    """Return the pool's client of this stack's name, always the same one of several."""
    cognito = aws[SERVICE]
    pages = cognito.get_paginator("list_user_pool_clients").paginate(UserPoolId=pool_id, MaxResults=PAGE)
    try:
        listed = [client for page in pages for client in page["UserPoolClients"]]
    except cognito.exceptions.ResourceNotFoundException:  # a pool that is only planned
        return None
    ids = [client["ClientId"] for client in listed if client["ClientName"] == definition.stack_name]
    if not ids:
        return None
    found: dict[str, Any] = cognito.describe_user_pool_client(UserPoolId=pool_id, ClientId=min(ids))["UserPoolClient"]
    return found


def environment(
    aws: Aws, definition: Definition, settings: Settings, function: Function, ids: tuple[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a function; if it asks for IDENTITY_PROVIDER, that is the pool, once there is one.

    ``ids`` are the pool's and its client's, where they are known: AWS may list them later.
    """
    variables = definition.environment(function, settings)
    if settings.identity_provider != COGNITO or "IDENTITY_PROVIDER" not in function.settings:
        return variables
    if ids is None:
        pool = find(aws, definition)
        client = pool and find_client(aws, definition, pool["Id"])
        ids = (pool["Id"], client["ClientId"]) if pool and client else None
    return {**variables, **(_identity(aws, *ids) if ids else {})}


def _identity(aws: Aws, pool_id: str, client_id: str) -> dict[str, str]:
    """Return what the authorizer has to know of the pool.

    An engine has the keys at a path of its own URL, which is not the same for the functions as it is here.
    """
    engine = aws.endpoints.get(SERVICE)
    if engine is None:
        address = aws[SERVICE].meta.endpoint_url
        return {"IDENTITY_PROVIDER": f"{address}/{pool_id}", "JWT_AUDIENCE": client_id}
    path = f"/{pool_id}/.well-known/jwks.json"
    keys = _document(f"{engine}{path}").get("keys") or [{}]
    if len(base64.urlsafe_b64decode(f"{keys[0].get('n', '')}===")) < SMALLEST_KEY:
        raise DeployError(
            "the engine signs no tokens, because it was started without the package cryptography: "
            "run scripts/down.sh, then scripts/up.sh"
        )
    issuer = _document(f"{engine}/{pool_id}/.well-known/openid-configuration").get("issuer", "")
    return {"IDENTITY_PROVIDER": issuer, "JWT_AUDIENCE": client_id, "JWKS_PATH": path}


def _document(url: str) -> dict[str, Any]:
    try:
        answer = http_client.request("GET", url)
        if answer.status == HTTPStatus.OK and isinstance(found := json.loads(answer.body), dict):
            return found
        seen = f"answered {answer.status}"
    except (OSError, ValueError) as error:
        seen = f"gave no answer ({error})"
    raise DeployError(f"the engine's user pool is of no use, because {url} {seen}: use another IDENTITY_PROVIDER")


def _alike(aws: Aws, definition: Definition) -> Iterator[dict[str, Any]]:
    """Yield the pools of this stack's name, which several may have."""
    cognito = aws[SERVICE]
    for page in cognito.get_paginator("list_user_pools").paginate(MaxResults=PAGE):
        for pool in page["UserPools"]:
            if pool["Name"] != definition.stack_name:
                continue
            try:
                yield cognito.describe_user_pool(UserPoolId=pool["Id"])["UserPool"]
            except cognito.exceptions.ResourceNotFoundException:  # deleted since
                continue


def _settings_of(cognito: Any, operation: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were found, for an update, which resets what it is not given."""
    members = cognito.meta.service_model.operation_model(operation).input_shape.members
    return {name: found[name] for name in members if found.get(name)}
