"""The Lambda functions.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""

import contextlib
import json
import time
from typing import Any

from stack.aws import Aws
from stack.definition import FUNCTION_MEMORY, FUNCTION_TIMEOUT, HANDLER, MARK, RUNTIME, Function
from stack.deploy.package import Package
from stack.deploy.steps import Change, Ensured, drift
from stack.errors import ResourceError
from stack.settings import Settings

WAIT = {"Delay": 0.1, "MaxAttempts": 600}  # seconds between looks, looks
NEW_ROLE_WAIT = 30  # seconds; until IAM has made a new role known to Lambda

# As little as API Gateway ever sends: no body, no header, no code.
EMPTY_EVENT = {"version": "2.0", "routeKey": "warm-up", "headers": {}, "pathParameters": {"code": ""}}


def ensure(aws: Aws, settings: Settings, function: Function, package: Package, role_arn: str) -> Ensured:
    """Create the function, or update its settings and code where they differ; the ID is its ARN.

    A function that was created or changed may still be Pending: see ``warm``.
    """
    client = aws["lambda"]
    desired = _configuration(settings, function, role_arn)
    try:
        current = client.get_function_configuration(FunctionName=function.name)
    except client.exceptions.ResourceNotFoundException:
        try:
            created = _create(client, function, desired, package)
        except client.exceptions.ResourceConflictException:  # another build was faster
            return ensure(aws, settings, function, package, role_arn)
        return Ensured(Change.CREATED, created["FunctionArn"])
    new_code = current["CodeSha256"] != package.sha256
    if new_code:
        _update(client, client.update_function_code, FunctionName=function.name, ZipFile=package.content)
    # After new code in any case: the code before, if MiniStack was about to start it, would stay in its pool.
    if new_code or drift(current, desired):
        _update(client, client.update_function_configuration, FunctionName=function.name, **desired)
        return Ensured(Change.UPDATED, current["FunctionArn"])
    return Ensured(Change.UNCHANGED, current["FunctionArn"])


def warm(aws: Aws, function: Function) -> Ensured:
    """Invoke the function once it is active, so that its first request does not pay for its start.

    Raises ResourceError if its code cannot be loaded. What it answers to an empty event is its own affair.
    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    """
    client = aws["lambda"]
    event = {"FunctionName": function.name, "Payload": json.dumps(EMPTY_EVENT)}
    current = client.get_function_configuration(FunctionName=function.name)
    if current["State"] != "Active" or current["LastUpdateStatus"] == "InProgress":
        # A local engine starts the function meanwhile; AWS refuses, or lets the code before answer.
        with contextlib.suppress(client.exceptions.ResourceConflictException):
            client.invoke(**event)
        client.get_waiter("function_active_v2").wait(FunctionName=function.name, WaiterConfig=WAIT)
        _settled(client, function.name)
    answer = client.invoke(**event)
    if "FunctionError" in answer:  # MiniStack may have ended it together with the code before, under traffic
        answer = client.invoke(**event)
    if "FunctionError" in answer:
        error = json.load(answer["Payload"])
        raise ResourceError(f"function {function.name} does not start: {error.get('errorMessage', error)}")
    return Ensured(Change.ANSWERED, function.name)


def _configuration(settings: Settings, function: Function, role_arn: str) -> dict[str, Any]:
    return {
        "Description": MARK,
        "Runtime": RUNTIME,
        "Handler": HANDLER,
        "Timeout": FUNCTION_TIMEOUT,
        "MemorySize": FUNCTION_MEMORY,
        "Role": role_arn,
        "Environment": {
            "Variables": {
                **function.variables,
                **settings.named(function.settings),
                "LOG_LEVEL": settings.log_level,
            }
        },
    }


def _create(client: Any, function: Function, desired: dict[str, Any], package: Package) -> dict[str, Any]:
    deadline = time.monotonic() + NEW_ROLE_WAIT
    while True:
        try:
            created: dict[str, Any] = client.create_function(
                FunctionName=function.name, Code={"ZipFile": package.content}, **desired
            )
            return created
        except client.exceptions.InvalidParameterValueException as error:
            if "cannot be assumed" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(1)


def _update(client: Any, operation: Any, **arguments: Any) -> None:
    """Lambda refuses an update while another is under way."""
    try:
        operation(**arguments)
    except client.exceptions.ResourceConflictException:
        _settled(client, arguments["FunctionName"])
        operation(**arguments)


def _settled(client: Any, function_name: str) -> None:
    """Wait until no update is under way."""
    client.get_waiter("function_updated_v2").wait(FunctionName=function_name, WaiterConfig=WAIT)
