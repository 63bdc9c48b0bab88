"""``GET /r/{code}``: count the click and redirect. ``HEAD /r/{code}``: the same, uncounted."""

import time
from http import HTTPMethod, HTTPStatus
from typing import Any

from common.http import INTERNAL_ERROR, Event, Response, error_response
from common.links import Expired, click, peek
from common.log import logged


@logged(outcome=lambda answer: answer["statusCode"], fallback=INTERNAL_ERROR)
def handler(event: Event, context: Any) -> Response:
    code = event["pathParameters"]["code"]
    find = peek if event["requestContext"]["http"]["method"] == HTTPMethod.HEAD else click
    try:
        long_url = find(code, time.time())
    except Expired:
        return error_response(HTTPStatus.GONE, "expired")
    if long_url is None:
        return error_response(HTTPStatus.NOT_FOUND, "not found")
    return {
        "statusCode": int(HTTPStatus.FOUND),
        "headers": {"Location": long_url, "Cache-Control": "no-store"},
        "body": "",
    }
