"""The functions' logs, a readable line each: ``python -m stack.commands.logs [FUNCTION]``.

Invocations are logged to CloudWatch Logs, on AWS as on either engine; a function's own prints
stand between them.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stack.aws import EXPLAINED, Aws, Local, explain
from stack.definition import DEFINITION
from stack.settings import Settings

LOOK_EVERY = 0.3  # seconds
OVERLAP = 2000  # milliseconds; what is logged side by side need not arrive in order
SHOWN_FIRST = 10 * 60  # seconds
PLATFORM = re.compile(r"(INIT_START|START|END|REPORT) ")  # what Lambda itself writes around each invocation
WARM_UP = "warm-up"  # the route of the deployment's own invocations, which are no requests


@dataclass
class Tail:
    """What a function has logged since a moment (Unix time, milliseconds), each event once.

    ``pattern`` says which events, as CloudWatch Logs reads it; empty, all of them.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """

    client: Any
    function: str
    since: int
    pattern: str = ""
    _seen: "Counter[tuple[str, int, str]]" = field(default_factory=Counter)

    def new(self) -> Iterator[tuple[int, str]]:
        """Time and text of what was logged since the last look."""
        pages = self.client.get_paginator("filter_log_events").paginate(
            logGroupName=f"/aws/lambda/{self.function}", startTime=self.since, filterPattern=self.pattern
        )
        seen: Counter[tuple[str, int, str]] = Counter()
        latest = self.since
        try:
            for event in (event for page in pages for event in page["events"]):
                key = event["logStreamName"], event["timestamp"], event["message"]
                seen[key] += 1
                latest = max(latest, event["timestamp"] - OVERLAP)
                if seen[key] > self._seen[key]:
                    yield event["timestamp"], event["message"]
        except self.client.exceptions.ResourceNotFoundException:
            return  # it has logged nothing yet
        self._seen, self.since = seen, latest


def logs_client(target: Local) -> Any:
    """Return a client for CloudWatch Logs."""
    return Aws(("logs",), target)["logs"]


def follow(client: Any, functions: Sequence[str], since: float, say: Callable[[str], None]) -> Iterator[None]:
    """Say each new line of these functions since ``since`` (Unix time), in order; yields after each look."""
    tails = [Tail(client, name, int(since * 1000)) for name in functions]
    while True:
        lines = [(when, tail.function, text) for tail in tails for when, text in tail.new()]
        for when, function, text in sorted(lines, key=lambda line: line[0]):
            if line := readable(when, function, text):
                say(line)
        yield


def readable(when: int, function: str, text: str) -> str | None:
    """A line of a log for a person, or None where it says nothing; ``when`` is Unix time in milliseconds."""
    start = f"{datetime.fromtimestamp(when / 1000):%H:%M:%S}  {function:<11}"
    entry = request(text)
    if entry is None:
        return None if PLATFORM.match(text) or not text.strip() else f"{start}{text.rstrip()}"
    if entry["route"] == WARM_UP:
        return None
    failure = f"  {entry['error']} at {entry['at']}" if "error" in entry else ""
    route, status, ms, request_id = (str(entry[name]) for name in ("route", "status", "ms", "request_id"))
    return f"{start}{route:<17} {status:<5} {ms:>6} ms  {request_id}{failure}"


def request(text: str) -> dict[str, Any] | None:
    """The line that ``lambdas/common/log.py`` writes for an invocation, or None if this is another."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    if isinstance(entry, dict) and {"level", "request_id", "route", "status", "ms"} <= entry.keys():
        return entry
    return None


def main(names: Sequence[str]) -> int:
    """Follow the functions that are named, or all; 1 with one line on stderr if that cannot be."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where the parent process ignores it
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads it may have seen enough
    known = [function.name for function in DEFINITION.functions]
    if unknown := sorted(set(names) - set(known)):
        print(f"error: there is no function {unknown[0]!r}: {', '.join(known)}", file=sys.stderr)
        return 1
    try:
        settings = Settings.from_environment(os.environ)
        client = logs_client(Local(settings.host_port, settings.aws_default_region))
        for _ in follow(client, names or known, time.time() - SHOWN_FIRST, lambda line: print(line, flush=True)):
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        pass
    except EXPLAINED as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
