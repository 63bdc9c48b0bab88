"""Read and write links: no other module knows the items of the table."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from common.log import note
from common.table import TABLE, dynamodb

# What DynamoDB answers while it takes no writes, or not as many: reads may go on.
REFUSED = {
    *("InternalServerError", "LimitExceededException", "ProvisionedThroughputExceededException"),
    *("RequestLimitExceeded", "ThrottlingException"),
}
BY_OWNER = "by-owner"  # an index, which has owner_id and code alone: a click does not write to it
CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONGEST_OWNER = 2048  # bytes of UTF-8, for owner_id is the index's partition key
TRACE_KEPT = 365 * 24 * 60 * 60  # seconds
LIVE = "attribute_exists(long_url) AND (attribute_not_exists(expires_at) OR expires_at > :now)"
FREE = "attribute_not_exists(code) OR expires_at <= :now"


def can_own(owner_id: str) -> bool:
    """Return True if links of this owner can be stored."""
    return len(owner_id.encode()) <= LONGEST_OWNER


class Expired(Exception):
    """Say that there was a link, whose time has passed, whether or not the table has removed its item."""


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

    The code of an expired link is free: the new link takes the place of the whole item. If an answer of DynamoDB
    is lost, the SDK asks again, and then the link that has the code may be this one.
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
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        asked_again = error.response["ResponseMetadata"]["RetryAttempts"] > 0
        if not asked_again or {**error.response.get("Item", {}), "click_count": item["click_count"]} != item:
            return False
    if link.expires_at is not None:
        _leave_trace(link.code, link.expires_at)
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
        _check_trace(code, now)
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
        _check_trace(code, now)
        return None
    if "expires_at" in item and int(item["expires_at"]["N"]) <= now:
        raise Expired
    long_url: str = item["long_url"]["S"]
    return long_url


def get(code: str, owner_id: str) -> Link | None:
    """Return the owner's link, expired or not, as of now, or None if it is another's or there is none."""
    if CODE.fullmatch(code) is None:
        return None
    item = dynamodb.get_item(TableName=TABLE, Key={"code": {"S": code}}, ConsistentRead=True).get("Item", {})
    return _link(item) if _is_of(item, owner_id) else None


def page(owner_id: str, limit: int, after: str) -> tuple[list[Link], str]:
    """Return the owner's links after a code (all, after ``""``), in the order of their codes, up to a limit.

    The second value is the last code of the page, or ``""`` if no more follow. The table has the last word on
    whose a link is: the index may be behind when an expired code has got another owner.
    """
    if not can_own(owner_id):
        return [], ""
    owner = {"S": owner_id}
    answer = dynamodb.query(
        TableName=TABLE,
        IndexName=BY_OWNER,
        # MiniStack parses an expression anew for each item, which takes seven times as long as this.
        KeyConditions={"owner_id": {"ComparisonOperator": "EQ", "AttributeValueList": [owner]}},
        **({"ExclusiveStartKey": {"owner_id": owner, "code": {"S": after}}} if after else {}),
        Limit=limit + 1,  # to know whether more follow
    )
    codes: list[str] = [item["code"]["S"] for item in answer["Items"]]
    items = {item["code"]["S"]: item for item in _items(codes[:limit]) if _is_of(item, owner_id)}
    return [_link(items[code]) for code in codes if code in items], codes[limit - 1] if len(codes) > limit else ""


def delete(code: str, owner_id: str) -> bool:
    """Delete the owner's link and return True. Return False, with the table untouched, if there is none."""
    if CODE.fullmatch(code) is None:
        return False
    try:
        dynamodb.delete_item(
            TableName=TABLE,
            Key={"code": {"S": code}},
            ConditionExpression="attribute_exists(long_url) AND owner_id = :owner",
            ExpressionAttributeValues={":owner": {"S": owner_id}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    dynamodb.delete_item(TableName=TABLE, Key=_trace(code))
    return True


def _trace(code: str) -> dict[str, Any]:
    """Return the key of the item that tells when the link of a code expires; no link has such a code."""
    return {"code": {"S": f"expired:{code}"}}


def _leave_trace(code: str, expires_at: int) -> None:
    """Store when a link expires, so that this is known for a year after the table has removed the link's own item."""
    try:
        dynamodb.put_item(TableName=TABLE, Item={**_trace(code), "expires_at": {"N": str(expires_at + TRACE_KEPT)}})
    except ClientError as error:  # the link is stored, and that is what was asked for
        note(level=logging.ERROR, reason=f"the link will be unknown once it is removed: {error}")


def _check_trace(code: str, now: float) -> None:
    """Raise Expired if the code's link has expired and was removed."""
    trace = dynamodb.get_item(TableName=TABLE, Key=_trace(code)).get("Item")
    if trace is not None and int(trace["expires_at"]["N"]) - TRACE_KEPT <= now:
        raise Expired


def _items(codes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the items of these codes, 100 at most, as of now and in any order; what is gone is left out."""
    keys = [{"code": {"S": code}} for code in codes]
    asked: dict[str, Any] = {TABLE: {"Keys": keys, "ConsistentRead": True}} if keys else {}
    while asked:
        answer = dynamodb.batch_get_item(RequestItems=asked)
        yield from answer["Responses"].get(TABLE, [])
        asked = answer.get("UnprocessedKeys", {})


def _is_of(item: dict[str, Any], owner_id: str) -> bool:
    return "long_url" in item and item.get("owner_id") == {"S": owner_id}


def _link(item: dict[str, Any]) -> Link:
    return Link(
        code=item["code"]["S"],
        long_url=item["long_url"]["S"],
        owner_id=item["owner_id"]["S"],
        click_count=int(item["click_count"]["N"]) if "click_count" in item else 0,
        expires_at=int(item["expires_at"]["N"]) if "expires_at" in item else None,
    )
