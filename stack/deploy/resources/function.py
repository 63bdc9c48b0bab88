"""The Lambda functions.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from botocore.exceptions import WaiterError

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.package import Package
from stack.deploy.resources import Removals, left, removal
from stack.deploy.steps import Change, Ensured, drift
from stack.errors import DeployError
from stack.model import Definition, Function
from stack.packages import LAMBDA

RUNTIME = f"python{LAMBDA.python}"
HANDLER = "handler.handler"
TIMEOUT = 10  # seconds
MEMORY = 256  # MiB

LOOK_EVERY = 0.1  # seconds
ACTIVE_TIMEOUT = 60  # seconds; on AWS a function of this size takes a few
NEW_ROLE_TIMEOUT = 180  # seconds; IAM takes up to two minutes to make a new role known to Lambda
NEW_ROLE_PAUSE = 1  # seconds
# What Lambda says until then, as Terraform's provider has met it.
NEW_ROLE = (
    "role defined for the function cannot be assumed",
    "execution role does not have permissions",
    "KMS key is invalid for CreateGrant",
)


def ensure(
    aws: Aws,
    definition: Definition,
    function: Function,
    package: Package,
    environment: Mapping[str, str],
    role_arn: str,
) -> Ensured:
    """Create the function, or update its settings and code where they differ; the ID is its ARN.

    A function that was created or changed may still be Pending: see ``ensure_active``. Raises
    DeployError if a function of that name is not this stack's.
    """
    client = aws["lambda"]
    name = definition.function_name(function)
    desired = _configuration(definition, environment, role_arn)
    code = {"ZipFile": package.content, **_architecture(aws)}
    found = find(aws, name)
    if found is None:
        created = _create(client, name, desired, code, mark.tags(aws, definition))
        return Ensured(Change.CREATED, created["FunctionArn"])
    check_owner(aws, definition, found)
    current = found["Configuration"]
    arn = current["FunctionArn"]
    if not mark.is_on(aws, definition, found.get("Tags") or {}):
        client.tag_resource(Resource=arn, Tags=mark.tags(aws, definition))
    new_code = not has_code(found, package) or drift(current, _architecture(aws))
    # One that is Pending may be so for ever, after a stop of MiniStack in that moment: an update ends that.
    if not (new_code or drift(current, desired) or not _is_settled(current)):
        return Ensured(Change.UNCHANGED, arn)
    try:
        if new_code:
            _update(client, client.update_function_code, FunctionName=name, **code)
        # After new code in any case: the previous code, if MiniStack was about to start it, would stay in its pool.
        _update(client, client.update_function_configuration, FunctionName=name, **desired)
    except WaiterError:
        _delete(client, name)
        _create(client, name, desired, code, mark.tags(aws, definition))
    return Ensured(Change.UPDATED, arn)


def ensure_active(
    aws: Aws,
    definition: Definition,
    function: Function,
    package: Package,
    environment: Mapping[str, str],
    role_arn: str,
) -> Ensured:
    """Wait until the function is active, and make it anew once if that takes too long; the ID is its ARN.

    Raises DeployError if that does not help.
    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    """
    client = aws["lambda"]
    name = definition.function_name(function)
    try:
        _wait(client, name)
    except WaiterError:
        found = find(aws, name)
        if found is not None:
            if not mark.is_on(aws, definition, found.get("Tags") or {}):
                raise mark.stranger("function", name) from None
            _delete(client, name)
        ensure(aws, definition, function, package, environment, role_arn)
        try:
            _wait(client, name)
        except WaiterError as error:
            state = error.last_response.get("Configuration", {})
            raise DeployError(
                f"function {name} is {state.get('State', 'not active')} after {ACTIVE_TIMEOUT} s, though it was made "
                f"anew: look into the engine's log ({state.get('StateReason') or 'it gives no reason'})"
            ) from error
    return Ensured(Change.ACTIVE, name)


def removals(aws: Aws, definition: Definition, everything: bool = False) -> Removals:
    """Yield what removes the functions that the definition has no more. Their permissions go with them."""
    client = aws["lambda"]
    gone = client.exceptions.ResourceNotFoundException
    defined = {definition.function_name(function) for function in definition.functions}
    description = _description(definition)  # it spares a call for each function of the account
    listed = {
        one["FunctionName"]
        for page in client.get_paginator("list_functions").paginate()
        for one in page["Functions"]
        if one.get("Description") == description
    }
    for name in sorted(defined | listed if everything else listed - defined):
        found = find(aws, name)
        if found is None:
            continue
        if is_ours(aws, definition, found):
            yield name, removal(partial(client.delete_function, FunctionName=name), gone)
        elif name in defined:
            yield name, left


def find(aws: Aws, name: str) -> dict[str, Any] | None:
    """Return the function as GetFunction describes it, with its tags, or None if there is none.

    Raises DeployError if the tags, which say whose it is, cannot be read.
    """
    client = aws["lambda"]
    try:
        found: dict[str, Any] = client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        return None
    if problem := found.get("TagsError"):  # AWS leaves out the tags if the caller may not list them
        raise DeployError(f"the tags of function {name} cannot be read: {problem.get('Message')}")
    return found


def check_owner(aws: Aws, definition: Definition, found: Mapping[str, Any]) -> None:
    """Raise DeployError if a function that was found is not this stack's, nor an earlier version's of it."""
    if not is_ours(aws, definition, found):
        raise mark.stranger("function", found["Configuration"]["FunctionName"])


def is_ours(aws: Aws, definition: Definition, found: Mapping[str, Any]) -> bool:
    """Return True if this stack, or an earlier version of it, made a function that was found."""
    marked = mark.is_on(aws, definition, found.get("Tags") or {})
    return marked or mark.is_earlier_function(definition, found["Configuration"])


def has_code(found: Mapping[str, Any], package: Package) -> bool:
    """Return True if a function that was found has this code."""
    return bool(found["Configuration"]["CodeSha256"] == package.sha256)


def variables(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a function that was found."""
    return dict(found["Configuration"].get("Environment", {}).get("Variables", {}))


def _configuration(definition: Definition, environment: Mapping[str, str], role_arn: str) -> dict[str, Any]:
    return {
        "Description": _description(definition),
        "Runtime": RUNTIME,
        "Handler": HANDLER,
        "Timeout": TIMEOUT,
        "MemorySize": MEMORY,
        "Role": role_arn,
        "Environment": {"Variables": dict(environment)},
    }


def _architecture(aws: Aws) -> dict[str, Any]:
    """Return the architecture of the functions: AWS's cheaper one, and elsewhere the engine's own."""
    return {} if "lambda" in aws.endpoints else {"Architectures": ["arm64"]}


def _description(definition: Definition) -> str:
    return f"part of {definition.stack_name}"


def _is_settled(current: Mapping[str, Any]) -> bool:
    return current.get("State") in ("Active", "Inactive") and current.get("LastUpdateStatus") == "Successful"


def _create(
    client: Any, name: str, desired: Mapping[str, Any], code: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    zipped = {"ZipFile": code["ZipFile"]}
    architecture = {key: value for key, value in code.items() if key not in zipped}
    arguments = {"FunctionName": name, "Code": zipped, "Tags": tags, **architecture, **desired}
    return _once_role_is_known(client, client.create_function, arguments)


def _update(client: Any, operation: Any, **arguments: Any) -> None:
    """Update the function. AWS refuses that while another update is under way, or the function is Pending.

    Raises WaiterError if that does not end.
    """
    try:
        _once_role_is_known(client, operation, arguments)
    except client.exceptions.ResourceConflictException:
        _wait(client, arguments["FunctionName"])
        _once_role_is_known(client, operation, arguments)


def _once_role_is_known(client: Any, operation: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call the operation again while Lambda does not know a new role. Raise DeployError if that does not end."""
    deadline = time.monotonic() + NEW_ROLE_TIMEOUT
    while True:
        try:
            answer: dict[str, Any] = operation(**arguments)
            return answer
        except client.exceptions.InvalidParameterValueException as error:
            if not any(text in str(error) for text in NEW_ROLE):
                raise
            if time.monotonic() > deadline:
                name = arguments["FunctionName"]
                raise DeployError(
                    f"function {name} cannot use its role {arguments['Role'].rpartition('/')[2]} after "
                    f"{NEW_ROLE_TIMEOUT} s: build again, and if that does not help, look at the role in IAM ({error})"
                ) from error
        time.sleep(NEW_ROLE_PAUSE)


def _wait(client: Any, name: str) -> None:
    """Wait until the function is active and no update is under way; raise WaiterError if that takes too long."""
    limit = {"Delay": LOOK_EVERY, "MaxAttempts": int(ACTIVE_TIMEOUT / LOOK_EVERY)}
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=limit)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=limit)


def _delete(client: Any, name: str) -> None:
    """Delete the function. Its permission goes with it, and is ensured later in the build."""
    try:
        client.delete_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:  # another build was faster
        return
