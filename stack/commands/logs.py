"""Show the functions' logs, a readable line each: ``python -m stack.commands.logs [FUNCTION...|ID]``.

Invocations are logged to CloudWatch Logs, on AWS as on either engine; a function's own prints
are between them.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

import json
import os
import re
import signal
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stack.aws import Aws, Local
from stack.aws_errors import EXPLAINED, explain
from stack.checks import load
from stack.model import Definition
from stack.settings import Settings

LOOK_EVERY = 0.3  # seconds
OVERLAP = 2000  # milliseconds; what is logged side by side need not arrive in order
SHOWN_FIRST = 10 * 60  # seconds
SEARCHED_BACK = 24  # hours, for a request
LOOK_FOR = 3  # seconds: a log may arrive after its answer
# On MiniStack a UUID, on AWS 16 characters of base64.
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9+/_-]{15}=")
PLATFORM = re.compile(r"(INIT_START|START|END|REPORT) ")  # what Lambda itself writes around each invocation


@dataclass
class Tail:
    """Read what a function has logged since a moment (Unix time, milliseconds), each event once.

    ``term`` is what an event must have in it; LocalStack does not filter by the pattern, so that is done here too.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """

    client: Any
    function: str
    group: str
    since: int
    term: str = ""
    _seen: "Counter[tuple[str, int, str]]" = field(default_factory=Counter)

    def new(self) -> Iterator[tuple[int, str]]:
        """Yield time and text of what was logged since the last look."""
        pages = self.client.get_paginator("filter_log_events").paginate(
            logGroupName=self.group, startTime=self.since, filterPattern=f'"{self.term}"' if self.term else ""
        )
        seen: Counter[tuple[str, int, str]] = Counter()
        latest = self.since
        try:
            for event in (event for page in pages for event in page["events"] if self.term in event["message"]):
                key = event["logStreamName"], event["timestamp"], event["message"]
                seen[key] += 1
                latest = max(latest, event["timestamp"] - OVERLAP)
                if seen[key] > self._seen[key]:
                    yield event["timestamp"], event["message"]
        except self.client.exceptions.ResourceNotFoundException:
            return  # it has logged nothing yet
        self._seen, self.since = seen, latest


def tail_of(client: Any, definition: Definition, function: str, since: float, term: str = "") -> Tail:
    """Return the tail of a function's log since ``since`` (Unix time)."""
    group = f"/aws/lambda/{definition.function_name(function)}"
    return Tail(client, function, group, int(since * 1000), term)


def logs_client(target: Local) -> Any:
    """Return a client for CloudWatch Logs."""
    return Aws(("logs",), target)["logs"]


def follow(client: Any, definition: Definition, functions: Sequence[str], since: float) -> Iterator[list[str]]:
    """Yield the new lines of these functions since ``since`` (Unix time), in order, after each look."""
    tails = [tail_of(client, definition, name, since) for name in functions]
    while True:
        lines = [(when, tail.function, text) for tail in tails for when, text in tail.new()]
        shown = (readable(when, function, text) for when, function, text in sorted(lines, key=_when))
        yield [line for line in shown if line]


def find(client: Any, definition: Definition, request_id: str, since: float) -> list[tuple[int, str, str]]:
    """Return time, function and text of each line of a request since ``since`` (Unix time), in order."""
    names = [function.name for function in definition.functions]
    tails = [tail_of(client, definition, name, since, term=request_id) for name in names]
    lines = [(when, tail.function, text) for tail in tails for when, text in tail.new()]
    return sorted((line for line in lines if (request(line[2]) or {}).get("request_id") == request_id), key=_when)


def _when(line: tuple[int, str, str]) -> int:
    return line[0]


def readable(when: int, function: str, text: str) -> str | None:
    """Return a line of a log for a person, or None where it says nothing; ``when`` is Unix time in milliseconds."""
    start = f"{datetime.fromtimestamp(when / 1000):%H:%M:%S}  {function:<11}"
    entry = request(text)
    if entry is None:
        return None if PLATFORM.match(text) or not text.strip() else f"{start}{text.rstrip()}"
    why = f"  {entry['reason']}" if "reason" in entry else ""
    if "error" in entry:
        message = printable(" ".join(entry.get("message", "").split()))
        why = f"  {entry['error']}{': ' if message else ''}{message} at {entry['at']}"
    route, status, ms, request_id = (str(entry[name]) for name in ("route", "status", "ms", "request_id"))
    return f"{start}{route:<17} {status:<5} {ms:>6} ms  {request_id}{why}"


def printable(text: str) -> str:
    """Return a text without what would control a terminal: a client may have written it."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def request(text: str) -> dict[str, Any] | None:
    """Return the line that ``lambdas/common/log.py`` writes for an invocation, or None if this is another."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    if isinstance(entry, dict) and {"level", "request_id", "route", "status", "ms"} <= entry.keys():
        return entry
    return None


def show(client: Any, definition: Definition, request_id: str) -> bool:
    """Print the lines of a request, each with its traceback under it. Return False if there are none."""
    deadline = time.monotonic() + LOOK_FOR
    while not (lines := find(client, definition, request_id, time.time() - SEARCHED_BACK * 3600)):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY)
    for when, function, text in lines:
        print(readable(when, function, text))
        if trace := (request(text) or {}).get("traceback"):
            print(textwrap.indent(printable(trace.rstrip()), "    "))
    return True


def main(arguments: Sequence[str]) -> int:
    """Show one request, or follow the functions that are named, or all. Return 1 with one line on stderr on failure."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where the parent process ignores it
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head may have seen enough
    try:
        settings = Settings.from_environment(os.environ)
        definition = load(settings.name_prefix)
        known = [function.name for function in definition.functions]
        unknown = sorted(set(arguments) - set(known))
        request_id = unknown[0] if len(arguments) == 1 and unknown and REQUEST_ID.fullmatch(unknown[0]) else None
        if unknown and not request_id:
            return fail(f"there is no function {unknown[0]!r}: {', '.join(known)}")
        client = logs_client(Local(settings.host_port, settings.aws_default_region))
        if request_id:
            if show(client, definition, request_id):
                return 0
            return fail(
                f"no function logged the request {request_id} in the last {SEARCHED_BACK} hours: "
                "give the whole apigw-requestid of an answer; what the gateway answers by itself reaches no function"
            )
        for lines in follow(client, definition, arguments or known, time.time() - SHOWN_FIRST):
            for line in lines:
                print(line, flush=True)
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        pass
    except EXPLAINED as error:
        return fail(explain(error))
    return 0


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
