"""The functions' log groups, made before the functions: those that Lambda makes keep everything for ever.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
"""

from functools import partial
from typing import Any

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.resources import Removals, left, may_be_ours, removal
from stack.deploy.steps import Change, Ensured
from stack.model import Definition, Function
from stack.settings import Settings

PREFIX = "/aws/lambda/"


def ensure(aws: Aws, definition: Definition, settings: Settings, function: Function) -> Ensured:
    """Create the log group of a function, or set how long it keeps what is logged; the ID is its name.

    One without the mark is left as it is: it has somebody else's lines, which the retention would delete.
    """
    logs = aws["logs"]
    name = _name(definition, function)
    retention = settings.log_retention_days
    current = _find(aws, name)
    if current is None:
        logs.create_log_group(logGroupName=name, tags=mark.tags(aws, definition))
        logs.put_retention_policy(logGroupName=name, retentionInDays=retention)
        return Ensured(Change.CREATED, name)
    if not _is_marked(aws, definition, name):
        return Ensured(Change.LEFT, name)
    if current.get("retentionInDays") == retention:
        return Ensured(Change.UNCHANGED, name)
    logs.put_retention_policy(logGroupName=name, retentionInDays=retention)
    return Ensured(Change.UPDATED, name)


def removals(aws: Aws, definition: Definition) -> Removals:
    """Yield what removes the log groups, also those of functions that the definition has no more."""
    logs = aws["logs"]
    defined = {_name(definition, function) for function in definition.functions}
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"{PREFIX}{definition.prefix}")
    for name in [group["logGroupName"] for page in pages for group in page["logGroups"]]:
        look = partial(_is_marked, aws, definition, name)
        if look() if name in defined else may_be_ours(look):
            delete = partial(logs.delete_log_group, logGroupName=name)
            yield name, removal(delete, logs.exceptions.ResourceNotFoundException)
        elif name in defined:
            yield name, left


def _name(definition: Definition, function: Function) -> str:
    return f"{PREFIX}{definition.function_name(function)}"


def _arn(aws: Aws, name: str) -> str:
    return aws.arn("logs", f"log-group:{name}")


def _find(aws: Aws, name: str) -> dict[str, Any] | None:
    pages = aws["logs"].get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    return next((group for page in pages for group in page["logGroups"] if group["logGroupName"] == name), None)


def _is_marked(aws: Aws, definition: Definition, name: str) -> bool:
    logs = aws["logs"]
    try:
        return mark.is_on(aws, definition, logs.list_tags_for_resource(resourceArn=_arn(aws, name))["tags"])
    except logs.exceptions.ResourceNotFoundException:  # another removal was faster
        return False
