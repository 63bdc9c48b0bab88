"""A redirect as a tutorial writes it: parse, one call, answer; no log line."""

from typing import Any

import boto3

table = boto3.resource("dynamodb").Table("shortlinks")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    code = event["pathParameters"]["code"]
    answer = table.update_item(
        Key={"code": code},
        UpdateExpression="ADD click_count :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="ALL_NEW",
    )
    return {"statusCode": 302, "headers": {"Location": answer["Attributes"]["long_url"]}}
