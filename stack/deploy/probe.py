"""The last step: ask the API through the gateway, as a client would.

That proves shorten, redirect, links and authorizer, and warms them, before the API's URL is published. Tokens of an
identity provider cannot be had here: with one, the probe shows what takes no token.
"""

import contextlib
import json
import time
from http import HTTPStatus

from stack import http_client, tokens
from stack.aws import Aws, Local
from stack.deploy.steps import Change, Ensured
from stack.errors import DeployError
from stack.model import Definition
from stack.settings import Settings

TABLE, KEY = "shortlinks", "code"
# No user has this name. Only a row with this owner is ever deleted.
OWNER = CODE = "__deployment-probe__"
TIMEOUT = 60  # seconds; a new API on AWS, or the first container of LocalStack, takes a while
RIGHTS_TIMEOUT = 180  # seconds; until then, AWS may deny a function what its new role allows
RETRY_AFTER = 0.2  # seconds
TOKEN_LIFETIME = RIGHTS_TIMEOUT + 60  # seconds
# What is asked past the gateway, and writes nothing: shorten for a link without a body, links for those of nobody.
EVENT = {"version": "2.0", "requestContext": {"authorizer": {"lambda": {"userId": OWNER}}}}
ASKED = {"shorten": ("POST /shorten", HTTPStatus.BAD_REQUEST), "links": ("GET /links", HTTPStatus.OK)}
NOT_YET = (  # the gateway's answers while the API or a function is starting
    HTTPStatus.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


def step(settings: Settings) -> str:
    """Return what the probe shows, for its line: only who can sign a token can see one open the API."""
    return "all but a valid token" if settings.identity_provider else "shorten and follow"


def ensure(aws: Aws, definition: Definition, settings: Settings, base_url: str) -> Ensured:
    """Show that the API at ``base_url`` answers. Raise DeployError if one does not."""
    if settings.identity_provider:
        _refuse_and_miss(aws, definition, settings, base_url)
    else:
        _shorten_and_follow(aws, definition, settings, base_url)
    return Ensured(Change.ANSWERED, base_url)


def _refuse_and_miss(aws: Aws, definition: Definition, settings: Settings, base_url: str) -> None:
    """Show all that takes no token of the identity provider, which need not be up yet.

    The gateway refuses a request without a token, the authorizer one with a token of ours, and redirect
    finds no link. What only a valid token leads to is asked past the gateway.
    """
    token = tokens.sign(OWNER, settings.jwt_secret, time.time(), TOKEN_LIFETIME)
    authorization = {"Authorization": f"Bearer {token}"}
    _expect(aws, base_url, "POST", "shorten", (HTTPStatus.UNAUTHORIZED,), "{}", by_gateway=True)
    _expect(aws, base_url, "POST", "shorten", (HTTPStatus.FORBIDDEN,), "{}", authorization, by_gateway=True)
    _expect(aws, base_url, "GET", f"r/{CODE}", (HTTPStatus.NOT_FOUND,))
    for name, (route, right) in ASKED.items():
        if name in {function.name for function in definition.functions}:
            _expect_past_the_gateway(aws, definition.function_name(name), route, right)


def _expect_past_the_gateway(aws: Aws, name: str, route: str, right: HTTPStatus) -> None:
    """Invoke a function until it answers with a status, as the gateway would for a user whom the authorizer let in."""
    deadline = time.monotonic() + (0 if isinstance(aws.target, Local) else RIGHTS_TIMEOUT)
    while True:
        answer = aws["lambda"].invoke(FunctionName=name, Payload=json.dumps({**EVENT, "routeKey": route}).encode())
        said = " ".join(answer["Payload"].read().decode(errors="replace").split())
        if f'"statusCode": {right.value},' in said:
            return
        if time.monotonic() > deadline:
            raise DeployError(f"function {name} did not answer {route} with {right.value}: {said}")
        time.sleep(RETRY_AFTER)


def _shorten_and_follow(aws: Aws, definition: Definition, settings: Settings, base_url: str) -> None:
    """Shorten and follow a link, and remove it again.

    Two probes may use the one code at once, so "taken" and "already removed" are right answers too.
    """
    dynamodb = aws["dynamodb"]
    body = json.dumps({"long_url": "https://example.com/", "code": CODE})
    token = tokens.sign(
        OWNER, settings.jwt_secret, time.time(), TOKEN_LIFETIME, settings.jwt_issuer, settings.jwt_audience
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        _expect(aws, base_url, "POST", "shorten", (HTTPStatus.CREATED, HTTPStatus.CONFLICT), body, headers)
        _expect(aws, base_url, "GET", f"r/{CODE}", (HTTPStatus.FOUND, HTTPStatus.NOT_FOUND))
        if any(route.key == "GET /links" for route in definition.routes):
            _expect(aws, base_url, "GET", "links", (HTTPStatus.OK,), headers=headers)
    finally:
        with contextlib.suppress(dynamodb.exceptions.ConditionalCheckFailedException):  # already removed
            dynamodb.delete_item(
                TableName=definition.table_name(TABLE),
                Key={KEY: {"S": CODE}},
                ConditionExpression="owner_id = :probe",
                ExpressionAttributeValues={":probe": {"S": OWNER}},
            )


def _expect(
    aws: Aws,
    base_url: str,
    method: str,
    path: str,
    right: tuple[HTTPStatus, ...],
    body: str | None = None,
    headers: dict[str, str] | None = None,
    by_gateway: bool = False,
) -> None:
    """Ask until an answer has a right status, and comes from a function, or from the gateway where that is meant."""
    url = f"{base_url}/{path}"
    local = isinstance(aws.target, Local)
    deadline = time.monotonic() + (TIMEOUT if local else RIGHTS_TIMEOUT)
    while True:
        try:
            answer = http_client.request(method, url, body, headers)
            if answer.status in right and answer.by_gateway == by_gateway:
                return
            starting = answer.by_gateway and answer.status in NOT_YET
            denied = answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and not local  # AWS may be spreading its rights
            final = not (starting or denied)
            text = " ".join(answer.body.decode(errors="replace").split())
            seen = f"answered {answer.status} instead of {right[0]}: {text or 'nothing'}"
        except OSError as error:
            final = False
            seen = f"got no answer: {error}"
        if final or time.monotonic() > deadline:
            raise DeployError(f"{method} {url} {seen}")
        time.sleep(RETRY_AFTER)
