"""The DynamoDB table.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from stack.aws import Aws
from stack.definition import TABLE, TABLE_KEY
from stack.deploy.steps import Change, Ensured
from stack.errors import ResourceError

KEY_SCHEMA = [{"AttributeName": TABLE_KEY, "KeyType": "HASH"}]
ATTRIBUTES = [{"AttributeName": TABLE_KEY, "AttributeType": "S"}]
BILLING_MODE = "PAY_PER_REQUEST"
WAIT = {"Delay": 1, "MaxAttempts": 60}  # seconds between looks, looks


def ensure(aws: Aws) -> Ensured:
    """Create the table, or set its billing mode; raises ResourceError if its key is not ours.

    A key cannot be changed, and a table may hold somebody's links: it is never deleted here.
    """
    dynamodb = aws["dynamodb"]
    try:
        table = dynamodb.describe_table(TableName=TABLE)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        try:
            table = dynamodb.create_table(
                TableName=TABLE, KeySchema=KEY_SCHEMA, AttributeDefinitions=ATTRIBUTES, BillingMode=BILLING_MODE
            )["TableDescription"]
        except dynamodb.exceptions.ResourceInUseException:  # another build was faster
            return ensure(aws)
        dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig=WAIT)
        return Ensured(Change.CREATED, table["TableArn"])
    attributes = [one for one in table["AttributeDefinitions"] if one["AttributeName"] == TABLE_KEY]
    if table["KeySchema"] != KEY_SCHEMA or attributes != ATTRIBUTES:
        names = ", ".join(key["AttributeName"] for key in table["KeySchema"])
        raise ResourceError(
            f"table {TABLE} has the key {names}, and the stack needs {TABLE_KEY} (a string): "
            f"keep what you need of it, delete it, and start again"
        )
    waiter = dynamodb.get_waiter("table_exists")
    waiter.wait(TableName=TABLE, WaiterConfig=WAIT)
    if table.get("BillingModeSummary", {}).get("BillingMode") == BILLING_MODE:
        return Ensured(Change.UNCHANGED, table["TableArn"])
    dynamodb.update_table(TableName=TABLE, BillingMode=BILLING_MODE)
    waiter.wait(TableName=TABLE, WaiterConfig=WAIT)
    return Ensured(Change.UPDATED, table["TableArn"])


def require(aws: Aws) -> None:
    """Raise ResourceError unless the table is there with its key: the rest of the stack stands on it."""
    dynamodb = aws["dynamodb"]
    try:
        table = dynamodb.describe_table(TableName=TABLE)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        table = {}
    if table.get("KeySchema") != KEY_SCHEMA:
        raise ResourceError(f"the API is not built: table {TABLE} is not there as it should be (see the step before)")
