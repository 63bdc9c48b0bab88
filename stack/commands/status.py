"""What is up, and whether it is what the working tree has: ``python -m stack.commands.status``."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from stack import http_client
from stack.aws import EXPLAINED, Aws, Local, explain
from stack.commands import logs
from stack.definition import DEFINITION
from stack.deploy import package
from stack.engine.embedded import Embedded
from stack.engine.health import State, look
from stack.errors import PackageError
from stack.outputs import API_ID_FILE, API_URL_FILE
from stack.settings import Settings

COUNTED = 10_000  # links; more would take a while to read
TABLE = DEFINITION.table_name("shortlinks")
ERRORS_SHOWN = 5
ERRORS_SINCE = 24 * 60 * 60  # seconds


def main() -> int:
    """Print it; 0 if the API answers, 1 if not or if that cannot be told."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads it may have seen enough
    try:
        settings = Settings.from_environment(os.environ)
        target = Local(settings.host_port, settings.aws_default_region)
        url = target.url
        state = look(url, settings.outputs)
        if state is State.STARTING:
            print(f"{'state':<9} down: nothing answers at {url} (scripts/up.sh starts it)")
            return 1
        print(f"{'engine':<9} {engine(url, Embedded(settings, settings.state_dir.resolve()))}")
        print(f"{'state':<9} {'healthy' if state is State.READY else 'not healthy'}: {state.value}")
        if state is State.READY:
            api_id, api_url = ((settings.outputs / name).read_text().strip() for name in (API_ID_FILE, API_URL_FILE))
            print(f"{'API':<9} {api_id}  {api_url}")
        aws = Aws(("lambda", "dynamodb", "logs"), target)
        for line in functions(aws, settings.lambdas):
            print(f"{'function':<9} {line}")
        print(f"{'links':<9} {links(aws)}")
        for line in list(errors(aws))[-ERRORS_SHOWN:] or ["none in the last 24 hours"]:
            print(f"{'errors':<9} {line}")
    except EXPLAINED as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    return 0 if state is State.READY else 1


def engine(url: str, embedded: Embedded) -> str:
    """Which engine answers at ``url``, its version, and where it runs."""
    report = json.loads(http_client.request("GET", f"{url}/_localstack/health").body)
    name = "MiniStack" if http_client.request("GET", f"{url}/_ministack/health").status == 200 else "LocalStack"
    running = embedded.running()
    where = f"embedded, process {running.pid}" if running else "in Docker"
    return f"{name} {report.get('version', 'of an unknown version')}, {where}, {url}"


def functions(aws: Aws, lambdas: Path) -> Iterator[str]:
    """A line for each function: whether its code is the working tree's, how old it is, and its hash."""
    client = aws["lambda"]
    for name in (function.name for function in DEFINITION.functions):
        try:
            current = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            yield f"{name:<11} missing: scripts/up.sh deploys it"
            continue
        deployed = datetime.fromisoformat(current["LastModified"]).timestamp()
        facts = f"deployed {ago(time.time() - deployed)}, sha256 {current['CodeSha256'][:12]}…"
        try:
            wanted = package.build(lambdas, name).sha256
        except PackageError as error:
            yield f"{name:<11} stale  {facts} ({error})"
            continue
        state = "live" if wanted == current["CodeSha256"] else "stale"
        note = "" if state == "live" else f", the working tree has {wanted[:12]}… (scripts/up.sh deploys it)"
        yield f"{name:<11} {state:<6} {facts}{note}"


def ago(seconds: float) -> str:
    """A time in the past, in the unit that a person would use."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def links(aws: Aws) -> str:
    """How many links the table has, and the clicks on all of them."""
    client = aws["dynamodb"]
    rows: list[Any] = []
    try:
        for page in client.get_paginator("scan").paginate(TableName=TABLE, ProjectionExpression="click_count"):
            rows += page["Items"]
            if len(rows) > COUNTED:
                return f"over {COUNTED:,}"
    except client.exceptions.ResourceNotFoundException:
        return f"none: the table {TABLE} is missing"
    clicks = sum(int(row.get("click_count", {}).get("N", 0)) for row in rows)
    return f"{len(rows):,}, with {clicks:,} click{'' if clicks == 1 else 's'}"


def errors(aws: Aws) -> Iterator[str]:
    """The errors that the functions have logged of late, in order."""
    since = int((time.time() - ERRORS_SINCE) * 1000)
    found: list[tuple[int, str]] = []
    for name in (function.name for function in DEFINITION.functions):
        for when, text in logs.Tail(aws["logs"], name, since, pattern="ERROR").new():
            if line := logs.readable(when, name, text):
                found.append((when, line))
    yield from (line for _, line in sorted(found))


if __name__ == "__main__":
    sys.exit(main())
