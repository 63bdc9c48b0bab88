"""``GET /r/{code}``: count the click and redirect. ``HEAD /r/{code}``: the same, uncounted."""

from http import HTTPMethod, HTTPStatus
from typing import Any

from common.codes import CODE
from common.http import INTERNAL_ERROR, Event, Response, error_response
from common.log import logged
from common.table import TABLE, dynamodb


@logged(outcome=lambda answer: answer["statusCode"], fallback=INTERNAL_ERROR)
def handler(event: Event, context: Any) -> Response:
    code = event["pathParameters"]["code"]
    if CODE.fullmatch(code) is None:
        return _not_found()
    find = peek if event["requestContext"]["http"]["method"] == HTTPMethod.HEAD else click
    long_url = find(code)
    if long_url is None:
        return _not_found()
    return {
        "statusCode": int(HTTPStatus.FOUND),
        "headers": {"Location": long_url, "Cache-Control": "no-store"},
        "body": "",
    }


def click(code: str) -> str | None:
    """The link's ``long_url`` after one more click, or None when there is no such link.

    The count is added in DynamoDB, so that N requests at once count N; the condition keeps
    UpdateItem from creating the item of an unknown code.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.AtomicCounters
    """
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
    long_url: str = answer["Attributes"]["long_url"]["S"]
    return long_url


def peek(code: str) -> str | None:
    """The link's ``long_url``, or None when there is no such link."""
    item = dynamodb.get_item(TableName=TABLE, Key={"code": {"S": code}}, ConsistentRead=True).get("Item", {})
    return item["long_url"]["S"] if "long_url" in item else None


def _not_found() -> Response:
    return error_response(HTTPStatus.NOT_FOUND, "not found")
