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
LIVE = "attribute_exists(long_url) AND (attribute_not_exists(expires_at) OR expires_at > :now)"
FREE = "attribute_not_exists(code) OR expires_at <= :now"


class Expired(Exception):
    """Say that there is a link, whose time has passed; the table may take days to remove its item."""


@dataclass(frozen=True)
class Link:
    """A code, where it leads, whose it is, how often it was followed, and when it expires (Unix time, seconds)."""

    code: str
    long_url: str
    owner_id: str
    click_count: int = 0
    expires_at: int | None = None


def put(link: Link, now: float) -> bool:
    """Store a new link and return True. Return False, with the table untouched, if its code is taken.

    The code of an expired link is free: the new link takes the place of the whole item.
    """
    item = {
        "code": {"S": link.code},
        "long_url": {"S": link.long_url},
        "owner_id": {"S": link.owner_id},
        "click_count": {"N": str(link.click_count)},
    }
    if link.expires_at is not None:
        item["expires_at"] = {"N": str(link.expires_at)}
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item=item,
            ConditionExpression=FREE,
            ExpressionAttributeValues={":now": {"N": str(int(now))}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def click(code: str, now: float) -> str | None:
    """Count a click and return the link's ``long_url``, or None if there is no such link.

    DynamoDB adds to the count, so that N requests at once count N. The condition keeps UpdateItem
    from creating the item of an unknown code. Raise Expired, and count nothing, if the link's time has passed.
    A click that DynamoDB refuses to count is logged, and the link is followed all the same.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.AtomicCounters
    """
    if CODE.fullmatch(code) is None:
        return None
    try:
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key={"code": {"S": code}},
            UpdateExpression="ADD click_count :one",
            ConditionExpression=LIVE,
            ExpressionAttributeValues={":one": {"N": "1"}, ":now": {"N": str(int(now))}},
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        if "long_url" in error.response.get("Item", {}):
            raise Expired from None
        return None
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
        note(level=logging.ERROR, reason=f"the click is not counted: {error}")
        return peek(code, now)
    long_url: str = answer["Attributes"]["long_url"]["S"]
    return long_url


def peek(code: str, now: float) -> str | None:
    """Return the link's ``long_url`` without counting a click, or None if there is no such link.

    Raise Expired if its time has passed.
    """
    if CODE.fullmatch(code) is None:
        return None
    item = dynamodb.get_item(TableName=TABLE, Key={"code": {"S": code}}, ConsistentRead=True).get("Item", {})
    if "long_url" not in item:
        return None
    if "expires_at" in item and int(item["expires_at"]["N"]) <= now:
        raise Expired
    long_url: str = item["long_url"]["S"]
    return long_url
