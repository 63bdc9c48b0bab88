"""The permissions: which part of API Gateway may invoke which function.

https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html#apigateway-permissions
"""

import contextlib
import json
from functools import partial
from typing import Any

from stack.aws import Aws
from stack.deploy.resources import Removals, removal
from stack.deploy.steps import Change, Ensured
from stack.model import Definition, Function

STATEMENT_ID = "api-gateway"
ACTION = "lambda:InvokeFunction"
PRINCIPAL = "apigateway.amazonaws.com"


def ensure(aws: Aws, definition: Definition, function: Function, source: str) -> Ensured:
    """Let API Gateway invoke the function for ``source`` (what follows the API's ARN prefix) and no other.

    ``source`` is ``API_ID/*`` for a route's function, ``API_ID/authorizers/AUTHORIZER_ID`` for
    an authorizer's. The ID is the source's ARN.
    """
    client = aws["lambda"]
    name = definition.function_name(function)
    source_arn = aws.arn("execute-api", source)
    current = _statement(client, name)
    if current and (
        current.get("Effect") == "Allow"
        and current.get("Action") == ACTION
        and current.get("Principal") == {"Service": PRINCIPAL}
        and current.get("Condition") == {"ArnLike": {"AWS:SourceArn": source_arn}}
    ):
        return Ensured(Change.UNCHANGED, source_arn)
    if current:
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):  # another build was faster
            client.remove_permission(FunctionName=name, StatementId=STATEMENT_ID)
    client.add_permission(
        FunctionName=name,
        StatementId=STATEMENT_ID,
        Action=ACTION,
        Principal=PRINCIPAL,
        SourceArn=source_arn,
    )
    return Ensured(Change.UPDATED if current else Change.CREATED, source_arn)


def removals(aws: Aws, definition: Definition) -> Removals:
    """Yield what removes the permission of functions to which nothing leads any more."""
    client = aws["lambda"]
    for function in definition.functions:
        name = definition.function_name(function)
        led_to = function.routes or function.name == definition.authorizer.function
        if not led_to and _statement(client, name):
            delete = partial(client.remove_permission, FunctionName=name, StatementId=STATEMENT_ID)
            yield name, removal(delete, client.exceptions.ResourceNotFoundException)


def _statement(client: Any, function_name: str) -> dict[str, Any] | None:
    """Return the statement of the function's policy that is ours, if it has one."""
    try:
        policy = json.loads(client.get_policy(FunctionName=function_name)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return None
    return next((one for one in policy["Statement"] if one.get("Sid") == STATEMENT_ID), None)
