"""Read and write links: no other module knows the items of the table."""

import logging
import re
from dataclasses import dataclass

from botocore.exceptions import ClientError

from common.log import note
from common.table import TABLE, dynamodb

# What DynamoDB answers while it takes no writes, or not as many: reads may go on.
REFUSED = {
    *("InternalServerError", "LimitExceededException", "ProvisionedThroughputExceededException"),
    *("RequestLimitExceeded", "ThrottlingException"),
}
CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Link:
    """A code, where it leads, whose it is, and how often it was followed."""

    code: str
    long_url: str
    owner_id: str
    click_count: int = 0


def put(link: Link) -> bool:
    """Store a new link and return True. Return False, with the table untouched, if its code is taken."""
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item={
                "code": {"S": link.code},
                "long_url": {"S": link.long_url},
                "owner_id": {"S": link.owner_id},
                "click_count": {"N": str(link.click_count)},
            },
            ConditionExpression="attribute_not_exists(code)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def click(code: str) -> str | None:
    """Count a click and return the link's ``long_url``, or None if there is no such link.

    DynamoDB adds to the count, so that N requests at once count N. The condition keeps UpdateItem
    from creating the item of an unknown code. A click that DynamoDB refuses to count is logged, and
    the link is followed all the same.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.AtomicCounters
    """
    if CODE.fullmatch(code) is None:
        return None
    try:
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key={"code": {"S": code}},
            UpdateExpression="ADD click_count :one",
            ConditionExpression="attribute_exists(long_url)",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return None
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
        note(level=logging.ERROR, reason=f"the click is not counted: {error}")
        return peek(code)
    long_url: str = answer["Attributes"]["long_url"]["S"]
    return long_url


def peek(code: str) -> str | None:
    """Return the link's ``long_url`` without counting a click, or None if there is no such link."""
    if CODE.fullmatch(code) is None:
        return None
    item = dynamodb.get_item(TableName=TABLE, Key={"code": {"S": code}}, ConsistentRead=True).get("Item", {})
    return item["long_url"]["S"] if "long_url" in item else None
