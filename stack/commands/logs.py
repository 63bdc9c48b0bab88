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
from stack.commands.dev import FUNCTIONS
from stack.deploy.package import COMMON
from stack.model import Definition
from stack.settings import PROJECT, Settings

LOOK_EVERY = 0.3  # seconds
OVERLAP = 2000  # milliseconds; what is logged side by side need not arrive in order
SHOWN_FIRST = 10 * 60  # seconds
SEARCHED_BACK = 24  # hours, for a request
LOOK_FOR = 3  # seconds: a log may arrive after its answer
# On MiniStack a UUID, on AWS 16 characters of base64.
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9+/_-]{15}=")
# What Lambda itself writes around each invocation.
PLATFORM = re.compile(r"(INIT_START|START|END|REPORT) (?:RequestId: (\S+))?(?:.*\tDuration: ([\d.]+) ms\t)?")
# What Lambda's Python writes of a record of ``logging``: level, time, request ID and message.
RECORD = re.compile(r"\[(DEBUG|INFO|WARNING|ERROR|CRITICAL)\]\t\S+Z\t(\S*)\t(.*)", re.DOTALL)
# A file of a function, where MiniStack's workers and where Lambda have it.
FILE = re.compile(r'(?<=File ")(?:[^"\n]*/ministack-lambda-[^/"\n]+/code|/var/task)/([^"\n]+)(?=")')
LONGEST_INVOCATION = 15 * 60 * 1000  # milliseconds; Lambda's limit


@dataclass(frozen=True)
class Line:
    """A line of a function's log, and the ID that Lambda gave the invocation; ``when`` is Unix time in milliseconds."""

    when: int
    function: str
    text: str
    stream: str
    request_id: str | None


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
    _under_way: dict[str, str] = field(default_factory=dict)  # the invocation of each stream

    def new(self, **options: Any) -> Iterator[Line]:
        """Yield what was logged since the last look."""
        pages = self.client.get_paginator("filter_log_events").paginate(
            logGroupName=self.group,
            startTime=self.since,
            filterPattern=f'"{self.term}"' if self.term else "",
            **options,
        )
        seen: Counter[tuple[str, int, str]] = Counter()
        latest = self.since
        try:
            for event in (event for page in pages for event in page["events"] if self.term in event["message"]):
                when, stream, text = event["timestamp"], event["logStreamName"], event["message"]
                if (platform := PLATFORM.match(text)) and platform[1] == "START":
                    self._under_way[stream] = platform[2]
                key = stream, when, text
                seen[key] += 1
                latest = max(latest, when - OVERLAP)
                if seen[key] > self._seen[key]:
                    yield Line(when, self.function, text, stream, self._under_way.get(stream))
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
        lines = sorted((line for tail in tails for line in tail.new()), key=lambda line: line.when)
        shown = (readable(line.when, line.function, line.text, line.request_id) for line in lines)
        yield [line for line in shown if line]


def find(client: Any, definition: Definition, request_id: str, since: float) -> list[list[Line]]:
    """Return the invocations of a request since ``since`` (Unix time), in order, each as the lines of its log.

    An invocation is of the request if its own line has the ID (the gateway's), or if Lambda's START has.
    """
    found = []
    for function in definition.functions:
        streams = {
            line.stream: line.when
            for line in tail_of(client, definition, function.name, since, term=request_id).new()
            if line.request_id == request_id or (request(line.text) or {}).get("request_id") == request_id
        }
        for stream, when in streams.items():
            tail = tail_of(client, definition, function.name, (when - LONGEST_INVOCATION) / 1000)
            lines = list(tail.new(endTime=when + LONGEST_INVOCATION, logStreamNames=[stream]))
            found += [one for one in invocations(lines) if is_of(request_id, one)]
    return sorted(found, key=lambda lines: lines[0].when)


def invocations(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the lines of each invocation of a stream, which end with Lambda's REPORT."""
    one: list[Line] = []
    for line in lines:
        one.append(line)
        if line.text.startswith("REPORT "):
            yield one
            one = []
    if one:
        yield one


def is_of(request_id: str, lines: Sequence[Line]) -> bool:
    """Return whether an invocation is one of a request."""
    return any(
        line.text.startswith(f"START RequestId: {request_id}")
        or (request(line.text) or {}).get("request_id") == request_id
        for line in lines
    )


def readable(when: int, function: str, text: str, request_id: str | None = None) -> str | None:
    """Return a line of a log for a person, or None where it says nothing; ``when`` is Unix time in milliseconds."""
    start = f"{datetime.fromtimestamp(when / 1000):%H:%M:%S}  {function:<11}"
    entry = request(text)
    if entry is None:
        if PLATFORM.match(text) or not text.strip():
            return None
        return f"{start}{said(function, text)}{f'  {request_id}' if request_id else ''}"
    why = f"  {entry['reason']}" if "reason" in entry else ""
    if "error" in entry:
        message = printable(" ".join(entry.get("message", "").split()))
        why = f"  {entry['error']}{': ' if message else ''}{message} at {source(function, entry['at'])}"
    route, status, ms, request_id = (str(entry[name]) for name in ("route", "status", "ms", "request_id"))
    return f"{start}{route:<17} {status:<5} {ms:>6} ms  {request_id}{why}"


def said(function: str, text: str) -> str:
    """Return what a function printed or logged, with the user's own file names."""
    if record := RECORD.fullmatch(text.rstrip()):
        text = f"{record[1]:<8}{record[3]}"
    return printable(with_sources(function, text.rstrip()))


def with_sources(function: str, text: str) -> str:
    """Return a traceback that names the files of the working tree instead of their copies."""
    return FILE.sub(lambda file: source(function, file[1]), text)


def source(function: str, file: str) -> str:
    """Return the path of a function's file, or of a line of one, in the working tree."""
    own = "" if file.startswith(f"{COMMON}/") else f"{function}/"
    path = f"{FUNCTIONS}/{own}{file}"
    return path if (PROJECT / path.partition(":")[0]).exists() else file


def printable(text: str) -> str:
    """Return a text without what would control a terminal: a client may have written it."""
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


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
    """Print the steps of a request, each with what it logged under it. Return False if there are none."""
    deadline = time.monotonic() + LOOK_FOR
    while not (steps := find(client, definition, request_id, time.time() - SEARCHED_BACK * 3600)):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY)
    for lines in steps:
        print("\n".join(step(request_id, lines)))
    return True


def step(request_id: str, lines: Sequence[Line]) -> Iterator[str]:
    """Yield what a person is told of an invocation: a line that sums it up, and what it logged."""
    own = [line for line in lines if request(line.text)]
    for line in own:
        yield readable(line.when, line.function, line.text) or ""
    if not own:  # a handler that logs in its own way
        took = next((found[3] for line in lines if (found := PLATFORM.match(line.text)) and found[3]), "?")
        first = lines[0]
        yield f"{datetime.fromtimestamp(first.when / 1000):%H:%M:%S}  {first.function:<29}{took:>13} ms  {request_id}"
    for line in lines:
        text = (request(line.text) or {}).get("traceback") if line in own else line.text
        if text and text.strip() and not (PLATFORM.match(text) and line not in own):
            yield textwrap.indent(said(line.function, text), "    ")


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
            return fail(
                f"{unknown[0]!r} is neither a function ({', '.join(known)}) nor a whole request ID, "
                "which an answer has in its header apigw-requestid"
            )
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
