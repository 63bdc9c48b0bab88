"""The last step: shorten a link and follow it through the gateway, as a client would.

That proves the functions that need a token or the table, and warms them, before the API's URL is published.
"""

import contextlib
import json
import time
from http import HTTPStatus

from stack import http_client, tokens
from stack.aws import Aws
from stack.deploy.steps import Change, Ensured
from stack.errors import DeployError
from stack.model import Definition
from stack.settings import Settings

TABLE, KEY = "shortlinks", "code"
# No user has this name. Only a row with this owner is ever deleted.
OWNER = CODE = "__deployment-probe__"
TIMEOUT = 60  # seconds; a new API on AWS, or the first container of LocalStack, takes a while
RETRY_AFTER = 0.2  # seconds
TOKEN_LIFETIME = TIMEOUT + 60  # seconds
REPLACED_TIMEOUT = 5  # seconds; under traffic, an update ends a process that has just taken a request
NOT_YET = (  # the gateway's answers while the API or a function is starting
    HTTPStatus.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


def ensure(aws: Aws, definition: Definition, settings: Settings, base_url: str) -> Ensured:
    """Shorten and follow a link at ``base_url``, and remove it again. Raise DeployError if that fails.

    Two probes may use the one code at once, so "taken" and "already removed" are right answers too.
    """
    dynamodb = aws["dynamodb"]
    body = json.dumps({"long_url": "https://example.com/", "code": CODE})
    token = tokens.sign(
        OWNER, settings.jwt_secret, time.time(), TOKEN_LIFETIME, settings.jwt_issuer, settings.jwt_audience
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        _expect(base_url, "POST", "shorten", (HTTPStatus.CREATED, HTTPStatus.CONFLICT), body, headers)
        _expect(base_url, "GET", f"r/{CODE}", (HTTPStatus.FOUND, HTTPStatus.NOT_FOUND))
        if any(route.key == "GET /links" for route in definition.routes):
            _expect(base_url, "GET", "links", (HTTPStatus.OK,), headers=headers)
    finally:
        with contextlib.suppress(dynamodb.exceptions.ConditionalCheckFailedException):  # already removed
            dynamodb.delete_item(
                TableName=definition.table_name(TABLE),
                Key={KEY: {"S": CODE}},
                ConditionExpression="owner_id = :probe",
                ExpressionAttributeValues={":probe": {"S": OWNER}},
            )
    return Ensured(Change.ANSWERED, base_url)


def _expect(
    base_url: str,
    method: str,
    path: str,
    right: tuple[HTTPStatus, ...],
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> None:
    url = f"{base_url}/{path}"
    started = time.monotonic()
    deadline = started + TIMEOUT
    while True:
        try:
            answer = http_client.request(method, url, body, headers)
            if answer.status in right and not answer.by_gateway:
                return
            starting = answer.by_gateway and answer.status in NOT_YET
            replaced = answer.status == HTTPStatus.BAD_GATEWAY and time.monotonic() < started + REPLACED_TIMEOUT
            final = not (starting or replaced)
            text = " ".join(answer.body.decode(errors="replace").split())
            seen = f"answered {answer.status} instead of {right[0]}: {text or 'nothing'}"
        except OSError as error:
            final = False
            seen = f"got no answer: {error}"
        if final or time.monotonic() > deadline:
            raise DeployError(f"{method} {url} {seen}")
        time.sleep(RETRY_AFTER)
