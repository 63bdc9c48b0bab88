"""The DynamoDB tables. A build never removes one: it may hold data.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from functools import partial
from typing import Any

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.resources import Removals, left, removal
from stack.deploy.steps import Change, Ensured
from stack.errors import DeployError
from stack.model import Definition, Table
from stack.settings import Settings

BILLING_MODE = "PAY_PER_REQUEST"
WAIT = {"Delay": 1, "MaxAttempts": 60}  # seconds between looks, looks


def ensure(aws: Aws, definition: Definition, settings: Settings, table: Table) -> Ensured:
    """Create the table, or set its billing mode and its protection; the ID is its ARN.

    Raises DeployError if a table of that name is not this stack's, or has another key, which cannot be changed.
    """
    dynamodb = aws["dynamodb"]
    name = definition.table_name(table)
    current = _find(dynamodb, name)
    if current is None:
        created = dynamodb.create_table(
            TableName=name,
            KeySchema=_key_schema(table),
            AttributeDefinitions=_attributes(table),
            BillingMode=BILLING_MODE,
            DeletionProtectionEnabled=settings.protect_tables,
            Tags=mark.tag_list(aws, definition),
        )["TableDescription"]
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig=WAIT)
        _ensure_recovery(dynamodb, name, settings.protect_tables)
        return Ensured(Change.CREATED, created["TableArn"])
    arn = current["TableArn"]
    adopted = False
    if not _is_ours(aws, definition, arn):
        if not mark.is_earlier_table(aws, definition, name):
            raise mark.stranger("table", name)
        adopted = True
    _check_key(table, current)
    if adopted:
        dynamodb.tag_resource(ResourceArn=arn, Tags=mark.tag_list(aws, definition))
    waiter = dynamodb.get_waiter("table_exists")
    waiter.wait(TableName=name, WaiterConfig=WAIT)
    changed = _ensure_recovery(dynamodb, name, settings.protect_tables) or adopted
    if current.get("DeletionProtectionEnabled", False) != settings.protect_tables:
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=settings.protect_tables)
        waiter.wait(TableName=name, WaiterConfig=WAIT)
        changed = True
    if current.get("BillingModeSummary", {}).get("BillingMode") != BILLING_MODE:
        dynamodb.update_table(TableName=name, BillingMode=BILLING_MODE)
        waiter.wait(TableName=name, WaiterConfig=WAIT)
        changed = True
    return Ensured(Change.UPDATED if changed else Change.UNCHANGED, arn)


def require(aws: Aws, definition: Definition, table: Table) -> None:
    """Raise DeployError unless the table is there, with its key: the functions stand on it."""
    name = definition.table_name(table)
    current = _find(aws["dynamodb"], name)
    if current is None:
        raise DeployError(f"the API is not built, because the table {name} is missing: build the tables first")
    if not _is_ours(aws, definition, current["TableArn"]):
        raise mark.stranger("table", name)
    _check_key(table, current)


def removals(aws: Aws, definition: Definition) -> Removals:
    """Yield what removes the tables, also those that the definition has no more, with all that is in them."""
    dynamodb = aws["dynamodb"]
    defined = {definition.table_name(table) for table in definition.tables}
    listed = {name for page in dynamodb.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    for name in sorted(defined | {name for name in listed if name.startswith(definition.prefix)}):
        current = _find(dynamodb, name)
        if current is None:
            continue
        if _is_ours(aws, definition, current["TableArn"]) or mark.is_earlier_table(aws, definition, name):
            yield name, removal(partial(_delete, dynamodb, name), dynamodb.exceptions.ResourceNotFoundException)
        elif name in defined:
            yield name, left


def _ensure_recovery(dynamodb: Any, name: str, wanted: bool) -> bool:
    """Switch point-in-time recovery on or off; return True if it was not so."""
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    status = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    if (status == "ENABLED") is wanted:
        return False
    dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": wanted}
    )
    return True


def _delete(dynamodb: Any, name: str) -> None:
    if dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig=WAIT)
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig=WAIT)


def _find(dynamodb: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = dynamodb.describe_table(TableName=name)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return None
    return found


def _is_ours(aws: Aws, definition: Definition, arn: str) -> bool:
    pages = aws["dynamodb"].get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
    return mark.is_on(aws, definition, [tag for page in pages for tag in page["Tags"]])


def _check_key(table: Table, current: dict[str, Any]) -> None:
    attributes = [one for one in current["AttributeDefinitions"] if one["AttributeName"] == table.key]
    if current["KeySchema"] != _key_schema(table) or attributes != _attributes(table):
        names = ", ".join(key["AttributeName"] for key in current["KeySchema"])
        raise DeployError(
            f"table {current['TableName']} has the key {names}, and the stack needs {table.key} (a string): "
            f"keep what you need of it, delete it, and build again"
        )


def _key_schema(table: Table) -> list[dict[str, str]]:
    return [{"AttributeName": table.key, "KeyType": "HASH"}]


def _attributes(table: Table) -> list[dict[str, str]]:
    return [{"AttributeName": table.key, "AttributeType": "S"}]
