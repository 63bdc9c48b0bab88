"""The mark of a stack: a tag on all that the deployment makes. What does not carry it is never updated or deleted.

Earlier versions of this project made the same stack without the tag. What identifies theirs is
here too, so that it is taken over with its links; this is needed only as long as such stacks exist.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from stack.aws import Aws
from stack.errors import DeployError
from stack.model import Definition

KEY = "shortener:stack"

EARLIER_DESCRIPTION = "part of shortener"  # of its functions
EARLIER_ROLE = "shortener-lambda"  # which all of its functions shared
EARLIER_TABLE = "shortlinks"
EARLIER_API_TAGS = {"_custom_id_": "5407c0de", "ms-custom-id": "5407c0de"}


def tags(aws: Aws, definition: Definition) -> dict[str, str]:
    """Return the mark. It has the region in it for what has none itself, such as roles."""
    return {KEY: f"{definition.stack_name}/{aws.region}"}


def tag_list(aws: Aws, definition: Definition) -> list[dict[str, str]]:
    """Return the mark as IAM and DynamoDB write tags."""
    return [{"Key": key, "Value": value} for key, value in tags(aws, definition).items()]


def is_on(aws: Aws, definition: Definition, found: Mapping[str, str] | Iterable[Mapping[str, str]] | None) -> bool:
    """Return True if the tags that a resource has, in either way of writing them, are this stack's."""
    if not isinstance(found, Mapping):
        found = {tag["Key"]: tag["Value"] for tag in found or ()}
    return tags(aws, definition).items() <= found.items()


def stranger(kind: str, name: str) -> DeployError:
    """Return the error for a resource under one of our names that somebody else made."""
    return DeployError(
        f"{kind} {name} exists, and this stack did not make it: rename or delete it, "
        "or set NAME_PREFIX to build the stack under other names"
    )


def is_earlier_function(definition: Definition, configuration: Mapping[str, Any]) -> bool:
    """Return True for a function that an earlier version of this project made."""
    return not definition.prefix and (
        str(configuration.get("Role", "")).endswith(f":role/{EARLIER_ROLE}")
        and configuration.get("Description") in (EARLIER_DESCRIPTION, "", None)
        and configuration.get("Handler") == "handler.handler"
    )


def is_earlier_api(definition: Definition, api_tags: Mapping[str, str] | None) -> bool:
    """Return True for an API that an earlier version of this project made, by the tags that it gave to no other."""
    return not definition.prefix and (api_tags or {}) == EARLIER_API_TAGS


def is_earlier_table(aws: Aws, definition: Definition, table_name: str) -> bool:
    """Return True if an earlier version made the table.

    It put no tag on tables, but a function of it, which does carry its mark, has the table's name.
    """
    if definition.prefix or table_name != EARLIER_TABLE:
        return False
    client = aws["lambda"]
    for name in ("shorten", "redirect"):
        try:
            found = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        if is_earlier_function(definition, found) and found["Environment"]["Variables"].get("TABLE") == table_name:
            return True
    return False
