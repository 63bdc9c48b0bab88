"""The DynamoDB tables. A build never removes one: it may hold data.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

import time
from functools import partial
from typing import Any

from stack.aws import Aws, Local
from stack.deploy import mark
from stack.deploy.resources import Removals, left, may_be_ours, removal
from stack.deploy.steps import Change, Ensured, drift
from stack.errors import DeployError
from stack.model import Definition, Index, Table
from stack.settings import Settings

BILLING_MODE = "PAY_PER_REQUEST"
WAIT = {"Delay": 1, "MaxAttempts": 60}  # seconds between looks, looks
INDEX_TIMEOUT = 3600  # seconds; AWS takes some minutes to fill the index of a small table
TAGS_TIMEOUT = 10  # seconds
LOOK_EVERY = 0.5  # seconds


def ensure(aws: Aws, definition: Definition, settings: Settings, table: Table) -> Ensured:
    """Create the table, or set its billing mode and protection, add its indexes, turn on its TTL; the ID is its ARN.

    Raises DeployError if a table of that name is not this stack's, or has another key, which cannot be changed.
    The items stay as they are, and are read and written meanwhile.
    """
    dynamodb = aws["dynamodb"]
    name = definition.table_name(table)
    current = _find(dynamodb, name)
    if current is None:
        created = dynamodb.create_table(
            TableName=name,
            KeySchema=_key_schema(table),
            AttributeDefinitions=_attributes(table, *table.indexes),
            BillingMode=BILLING_MODE,
            DeletionProtectionEnabled=settings.protect_tables,
            Tags=mark.tag_list(aws, definition),
            **({"GlobalSecondaryIndexes": [_settings(index) for index in table.indexes]} if table.indexes else {}),
        )["TableDescription"]
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig=WAIT)
        _ensure_recovery(dynamodb, name, settings.protect_tables)
        _ensure_ttl(dynamodb, name, table)
        return Ensured(Change.CREATED, created["TableArn"])
    arn = current["TableArn"]
    changed = False
    if not _is_ours(aws, definition, arn):
        if not mark.is_earlier_table(aws, definition, name):
            raise mark.stranger("table", name)
        changed = True
    _check_key(table, current)
    if changed:
        dynamodb.tag_resource(ResourceArn=arn, Tags=mark.tag_list(aws, definition))
    waiter = dynamodb.get_waiter("table_exists")
    waiter.wait(TableName=name, WaiterConfig=WAIT)
    changed |= _ensure_recovery(dynamodb, name, settings.protect_tables)
    if current.get("DeletionProtectionEnabled", False) != settings.protect_tables:
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=settings.protect_tables)
        waiter.wait(TableName=name, WaiterConfig=WAIT)
        changed = True
    if current.get("BillingModeSummary", {}).get("BillingMode") != BILLING_MODE:
        dynamodb.update_table(TableName=name, BillingMode=BILLING_MODE)
        waiter.wait(TableName=name, WaiterConfig=WAIT)
        changed = True
    for index in table.indexes:
        changed |= _ensure_index(dynamodb, name, table, index)
    changed |= _ensure_ttl(dynamodb, name, table)
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


def _ensure_index(dynamodb: Any, name: str, table: Table, index: Index) -> bool:
    """Add an index, in the place of one with other settings; wait until it can be queried. Return True for a change.

    An index holds nothing of its own, so nothing is lost with it.
    """
    changed = False
    desired = _settings(index)
    found = _find_index(dynamodb, name, index)
    if found is not None and (drift(found, desired) or found["IndexStatus"] == "DELETING"):
        if found["IndexStatus"] != "DELETING":
            _update_index(dynamodb, name, "Delete", {"IndexName": index.name})
        _wait_for_index(dynamodb, name, index, None)
        found = None
        changed = True
    if found is None:
        try:
            _update_index(dynamodb, name, "Create", desired, AttributeDefinitions=_attributes(table, index))
        except dynamodb.exceptions.ClientError:
            if _find_index(dynamodb, name, index) is None:
                raise  # else another build was faster
        changed = True
    _wait_for_index(dynamodb, name, index, "ACTIVE")
    return changed


def _update_index(dynamodb: Any, name: str, action: str, index: dict[str, Any], **settings: Any) -> None:
    dynamodb.update_table(TableName=name, GlobalSecondaryIndexUpdates=[{action: index}], **settings)


def _wait_for_index(dynamodb: Any, name: str, index: Index, status: str | None) -> None:
    """Poll until an index has this status, or with None is gone. Raise DeployError after INDEX_TIMEOUT."""
    deadline = time.monotonic() + INDEX_TIMEOUT
    while (_find_index(dynamodb, name, index) or {}).get("IndexStatus") != status:
        if time.monotonic() > deadline:
            raise DeployError(f"AWS is still at work on the index {index.name} of the table {name}: build again later")
        time.sleep(LOOK_EVERY)


def _find_index(dynamodb: Any, name: str, index: Index) -> dict[str, Any] | None:
    indexes = dynamodb.describe_table(TableName=name)["Table"].get("GlobalSecondaryIndexes", [])
    return next((one for one in indexes if one["IndexName"] == index.name), None)


def _ensure_ttl(dynamodb: Any, name: str, table: Table) -> bool:
    """Have the table delete what has expired. Return True for a change; raise DeployError if it goes by another."""
    if not table.ttl or _has_ttl(dynamodb, name, table):
        return False
    try:
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl}
        )
    except dynamodb.exceptions.ClientError:
        if not _has_ttl(dynamodb, name, table):
            raise  # else another build was faster
    return True


def _has_ttl(dynamodb: Any, name: str, table: Table) -> bool:
    current = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if current["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        return False
    if current["AttributeName"] != table.ttl:
        raise DeployError(
            f"table {name} deletes items by the attribute {current['AttributeName']}, and the stack needs {table.ttl}: "
            "turn its TTL off, which takes up to an hour, and build again"
        )
    return True


def removals(aws: Aws, definition: Definition) -> Removals:
    """Yield what removes the tables, also those that the definition has no more, with all that is in them."""
    dynamodb = aws["dynamodb"]
    defined = {definition.table_name(table) for table in definition.tables}
    listed = {name for page in dynamodb.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    for name in sorted(defined | {name for name in listed if name.startswith(definition.prefix)}):
        if name in defined:
            ours = _is_made_by_us(aws, definition, name)
        else:  # without patience, for the account may have many
            ours = may_be_ours(partial(_is_made_by_us, aws, definition, name, tags_timeout=0))
        if ours:
            yield name, removal(partial(_delete, dynamodb, name), dynamodb.exceptions.ResourceNotFoundException)
        elif name in defined and _find(dynamodb, name) is not None:
            yield name, left


def _is_made_by_us(aws: Aws, definition: Definition, name: str, tags_timeout: float = TAGS_TIMEOUT) -> bool:
    current = _find(aws["dynamodb"], name)
    return current is not None and (
        _is_ours(aws, definition, current["TableArn"], tags_timeout) or mark.is_earlier_table(aws, definition, name)
    )


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
    # A conflict while that is under way is repeated, and another removal may be faster.
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig=WAIT)


def _find(dynamodb: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = dynamodb.describe_table(TableName=name)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return None
    return found


def _is_ours(aws: Aws, definition: Definition, arn: str, tags_timeout: float = TAGS_TIMEOUT) -> bool:
    """Return True if the table has the mark. AWS may tell no tags at all of a table that was just made.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TagResource.html
    """
    deadline = time.monotonic() + (0 if isinstance(aws.target, Local) else tags_timeout)
    while True:
        pages = aws["dynamodb"].get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
        tags = [tag for page in pages for tag in page["Tags"]]
        if tags or time.monotonic() > deadline:
            return mark.is_on(aws, definition, tags)
        time.sleep(LOOK_EVERY)


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


def _settings(index: Index) -> dict[str, Any]:
    keys = [{"AttributeName": index.key, "KeyType": "HASH"}, {"AttributeName": index.sort, "KeyType": "RANGE"}]
    return {"IndexName": index.name, "KeySchema": keys, "Projection": {"ProjectionType": "KEYS_ONLY"}}


def _attributes(table: Table, *indexes: Index) -> list[dict[str, str]]:
    names = dict.fromkeys([table.key, *(name for index in indexes for name in (index.key, index.sort))])
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]
