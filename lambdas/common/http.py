"""Answers in API Gateway's payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

Event = Mapping[str, Any]
Response = dict[str, Any]


def json_response(status: HTTPStatus, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose body is ``body`` as JSON."""
    return {
        "statusCode": int(status),
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": json.dumps(body),
    }


def error_response(status: HTTPStatus, message: str) -> Response:
    """An error in the one shape that all of them have: ``{"error": message}``."""
    return json_response(status, {"error": message})


INTERNAL_ERROR = error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
