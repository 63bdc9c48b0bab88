"""The permissions: which part of API Gateway may invoke which function.

https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html#apigateway-permissions
"""

import contextlib
import json
from typing import Any

from stack.aws import Aws
from stack.deploy.steps import Change, Ensured

STATEMENT_ID = "api-gateway"
ACTION = "lambda:InvokeFunction"
PRINCIPAL = "apigateway.amazonaws.com"


def ensure(aws: Aws, function_name: str, source: str) -> Ensured:
    """Let API Gateway invoke the function for ``source`` (what follows the API's ARN prefix) and no other.

    ``source`` is ``API_ID/*`` for a route's function, ``API_ID/authorizers/AUTHORIZER_ID`` for
    an authorizer's. The ID is the source's ARN.
    """
    client = aws["lambda"]
    source_arn = aws.arn("execute-api", source)
    current = statement(client, function_name)
    if current and (
        current.get("Effect") == "Allow"
        and current.get("Action") == ACTION
        and current.get("Principal") == {"Service": PRINCIPAL}
        and current.get("Condition") == {"ArnLike": {"AWS:SourceArn": source_arn}}
    ):
        return Ensured(Change.UNCHANGED, source_arn)
    if current:
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):  # another build was faster
            client.remove_permission(FunctionName=function_name, StatementId=STATEMENT_ID)
    try:
        client.add_permission(
            FunctionName=function_name,
            StatementId=STATEMENT_ID,
            Action=ACTION,
            Principal=PRINCIPAL,
            SourceArn=source_arn,
        )
    except client.exceptions.ResourceConflictException:  # another build was faster
        return ensure(aws, function_name, source)
    return Ensured(Change.UPDATED if current else Change.CREATED, source_arn)


def statement(client: Any, function_name: str) -> dict[str, Any] | None:
    """The statement of the function's policy that is ours, if it has one."""
    try:
        policy = json.loads(client.get_policy(FunctionName=function_name)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return None
    return next((one for one in policy["Statement"] if one.get("Sid") == STATEMENT_ID), None)
