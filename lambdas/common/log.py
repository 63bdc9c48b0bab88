"""One JSON line per invocation, on stdout, where Lambda collects it.

The line names the request, never its content: no header, no token, no URL, no exception text
(which may quote any of them).

It also makes a local function fast: MiniStack waits up to 50 ms for the first line that an
invocation logs, and about 5 ms once it has one.
"""

import functools
import json
import logging
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.http import Event

Handler = Callable[[Event, Any], dict[str, Any]]

_threshold = logging.getLevelNamesMapping().get(os.environ.get("LOG_LEVEL", "").upper(), logging.INFO)


def logged(outcome: Callable[[dict[str, Any]], Any], fallback: dict[str, Any]) -> Callable[[Handler], Handler]:
    """Log each invocation of the handler under it.

    ``outcome`` picks what the line calls ``status`` from the handler's answer. A handler that
    raises is answered for with ``fallback``, and its line has level ERROR with the exception's
    type and place: the gateway would otherwise send the exception's text to the client.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def invoke(event: Event, context: Any) -> dict[str, Any]:
            started = time.perf_counter()
            failure: dict[str, str] = {}
            try:
                answer = handler(event, context)
            except Exception as error:
                answer = fallback
                failure = {"error": type(error).__name__, "at": _place(error)}
            level = logging.ERROR if failure else logging.INFO
            if level >= _threshold:
                line = {
                    "level": logging.getLevelName(level),
                    "request_id": _request_id(event, context),
                    "route": event.get("routeKey"),
                    "status": outcome(answer),
                    "ms": round((time.perf_counter() - started) * 1000, 1),
                    **failure,
                }
                print(json.dumps(line), flush=True)
            return answer

        return invoke

    return decorate


def _request_id(event: Event, context: Any) -> str | None:
    """The gateway's ID where there is one: it is what the client was told."""
    gateway: str | None = (event.get("requestContext") or {}).get("requestId")
    return gateway or getattr(context, "aws_request_id", None)


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
