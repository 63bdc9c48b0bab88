"""Give each request to an API one ID, as API Gateway does.

MiniStack alone draws one ID for the event of the authorizer, another for that of the function, and a third
for the client's header ``apigw-requestid``, so that no log knows the ID that the client got.
"""

from contextvars import ContextVar
from typing import Any

from ministack.services import apigateway

HEADER = "apigw-requestid"

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def unite() -> None:
    """Have MiniStack put the ID of a request into each event, and into the answer to the client."""
    draw, execute = apigateway.new_uuid, apigateway.handle_execute

    async def handle_execute(*arguments: Any, **named: Any) -> Any:
        request_id = draw()
        token = _current.set(request_id)
        try:
            status, headers, body = await execute(*arguments, **named)
        finally:
            _current.reset(token)
        return status, {**headers, HEADER: request_id}, body

    apigateway.new_uuid = lambda: _current.get() or draw()
    apigateway.handle_execute = handle_execute
