"""Log one line of JSON for each invocation, on stdout, where Lambda collects it.

The line names the request, never its content. The line of a failed invocation has the exception too,
with secrets taken out.
"""

import functools
import json
import logging
import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

from common.http import Event

Handler = Callable[[Event, Any], dict[str, Any]]

REQUEST_ID_HEADER = "apigw-requestid"
PACKAGE = Path(__file__).parent.parent  # the function's own files
LONGEST_MESSAGE, LONGEST_TRACEBACK = 1_000, 16_000  # characters; CloudWatch Logs takes 256 KB a line
LONGEST_READ = 40_000  # characters of an exception's text that are looked at

_threshold = logging.getLevelNamesMapping().get(os.environ.get("LOG_LEVEL", "").upper(), logging.INFO)
logging.getLogger().setLevel(_threshold)  # Lambda's own is WARNING
logging.getLogger("botocore").setLevel(max(_threshold, logging.WARNING))
_notes: ContextVar[dict[str, Any]] = ContextVar("notes")


def note(**fields: Any) -> None:
    """Add fields to the line of the current invocation; ``level`` is the line's, instead of INFO."""
    _notes.get({}).update(fields)


def logged(outcome: Callable[[dict[str, Any]], Any], fallback: dict[str, Any]) -> Callable[[Handler], Handler]:
    """Log each invocation of the decorated handler.

    ``outcome`` picks what the line calls ``status`` from the handler's answer. If the handler
    raises, the answer is ``fallback`` and the line has level ERROR: the gateway would otherwise
    send the exception's text to the client.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def invoke(event: Event, context: Any) -> dict[str, Any]:
            started = time.perf_counter()
            fields: dict[str, Any] = {}
            token = _notes.set(fields)
            level = logging.INFO
            try:
                answer = handler(event, context)
                status = outcome(answer)
                level = fields.pop("level", level)
            except Exception as error:
                level, answer, status = logging.ERROR, fallback, outcome(fallback)
                fields |= _failure(error, event)
            finally:
                _notes.reset(token)
            if level >= _threshold:
                line = {
                    "level": logging.getLevelName(level),
                    "request_id": _gateway_id(event) or getattr(context, "aws_request_id", None),
                    "route": event.get("routeKey"),
                    "status": status,
                    "ms": round((time.perf_counter() - started) * 1000, 1),
                    **fields,
                }
                print(json.dumps(line), flush=True)
            return _identified(answer, event)

        return invoke

    return decorate


def _gateway_id(event: Event) -> str | None:
    request_id: str | None = (event.get("requestContext") or {}).get("requestId")
    return request_id


def _identified(answer: dict[str, Any], event: Event) -> dict[str, Any]:
    """Return an answer to a client with the ID that the line has.

    AWS gives the client this very ID. MiniStack alone would give the client another, that no function knows.
    """
    request_id = _gateway_id(event)
    if request_id is None or "statusCode" not in answer:
        return answer
    return {**answer, "headers": {**(answer.get("headers") or {}), REQUEST_ID_HEADER: request_id}}


def _failure(error: Exception, event: Event) -> dict[str, str]:
    """Return what the line of a failed invocation says of the exception."""
    import traceback  # only a failed invocation needs these two

    from common.redact import known_secrets, redact

    secrets = known_secrets(event)
    calls = error.__traceback__ and (error.__traceback__.tb_next or error.__traceback__)  # without invoke() itself
    try:
        message = str(error)
    except Exception as unprintable:
        message = f"(its text cannot be had: {type(unprintable).__name__})"
    trace = "".join(traceback.format_exception(type(error), error, calls))
    return {
        "error": type(error).__name__,
        "message": _shortened(redact(_shortened(message, LONGEST_READ), secrets), LONGEST_MESSAGE),
        "at": _place(calls),
        "traceback": _shortened(redact(_shortened(trace, LONGEST_READ), secrets), LONGEST_TRACEBACK),
    }


def _place(calls: TracebackType | None) -> str:
    """Return file and line of the innermost call in the function's own files."""
    place = ""
    while calls:
        file = Path(calls.tb_frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            place = f"{file.relative_to(PACKAGE).as_posix()}:{calls.tb_lineno}"
        calls = calls.tb_next
    return place


def _shortened(text: str, longest: int) -> str:
    """Return a text without its middle if it is too long: a traceback's ends say most."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}\n...\n{text[-half:]}"
