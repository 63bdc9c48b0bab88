"""Print what is up, and whether it is the working tree's: ``python -m stack.commands.status``."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

from stack import http_client
from stack.aws import Aws, Local
from stack.aws_errors import EXPLAINED, explain
from stack.checks import load
from stack.commands import logs
from stack.deploy import mark, package
from stack.deploy.resources import function as functions
from stack.engine.embedded import Embedded
from stack.engine.folder import Running
from stack.engine.health import STORAGE, State, look
from stack.errors import PackageError
from stack.model import Definition, Function
from stack.outputs import API_ID_FILE, API_URL_FILE
from stack.settings import Settings

COUNTED = 10_000  # links; MiniStack sorts the whole table for each page of a scan
ERRORS_SHOWN = 5
ERRORS_SINCE = 24 * 60 * 60  # seconds
DOCKER_TIMEOUT = 10  # seconds


@dataclass(frozen=True)
class Part:
    """A part of the stack; ``sound`` unless requests cannot be served without repairing the part."""

    subject: str
    text: str
    sound: bool = True


def main() -> int:
    """Print the status; return 0 if the API answers and no part of it is missing, otherwise 1."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # head may have seen enough
    try:
        return report(Settings.from_environment(os.environ))
    except EXPLAINED as error:
        print(f"error: {explain(error)}", file=sys.stderr)
    except OSError as error:
        print(f"error: the status changed meanwhile ({error}): run scripts/status.sh again", file=sys.stderr)
    return 1


def report(settings: Settings) -> int:
    """Print the status line by line. Raises OSError and the SDK's errors if the engine stops meanwhile."""
    definition = load(settings.name_prefix)
    target = Local(settings.host_port, settings.aws_default_region)
    url = target.url
    state = look(url, settings.outputs)
    running = Embedded(settings, settings.state_dir).running()
    place = where(running, settings.host_port)
    if state in (State.STARTING, State.OTHER):
        line("state", absent(state, url, place, running))
        return 1
    line("engine", f"{engine(url)}, {place or 'of another STATE_DIR or project'}, {url}")
    aws = Aws(("sts", "lambda", "dynamodb", "logs"), target)
    parts = [function(aws, definition, settings.lambdas, one) for one in definition.functions]
    parts.append(links(aws, definition.table_name("shortlinks")))
    parts += storage(url)
    whole = all(part.sound for part in parts)
    line("state", condition(state, settings.outputs, whole))
    if state is State.READY:
        api_id, api_url = ((settings.outputs / name).read_text().strip() for name in (API_ID_FILE, API_URL_FILE))
        line("API", f"{api_id}  {api_url}")
    for part in parts:
        line(part.subject, part.text)
    for text in list(errors(aws, definition))[-ERRORS_SHOWN:] or ["none in the last 24 hours"]:
        line("errors", text)
    return 0 if state is State.READY and whole else 1


def line(subject: str, text: str) -> None:
    print(f"{subject:<9} {text}", flush=True)


def where(running: Running | None, port: int) -> str | None:
    """Return where the engine of this port runs, or None if it is neither our process nor our container."""
    if running is not None and running.port == port:
        return f"embedded, process {running.pid}"
    command = ["docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project=shortener-{port}"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=DOCKER_TIMEOUT, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # no Docker here, so no container
        return None
    return "in Docker" if found else None


def absent(state: State, url: str, place: str | None, running: Running | None) -> str:
    """Return the state in words where no engine answers."""
    if state is State.OTHER:
        return f"down: another program answers at {url}: stop it, or choose another HOST_PORT"
    if place is not None:
        return f"starting: the engine ({place}) does not answer at {url} yet"
    if running is not None:
        return (
            f"down: nothing answers at {url}; the engine of this STATE_DIR is on port {running.port} "
            f"(HOST_PORT={running.port} scripts/status.sh)"
        )
    return f"down: nothing answers at {url} (scripts/up.sh starts it)"


def condition(state: State, outputs: Path, whole: bool) -> str:
    """Return the state in words where an engine answers."""
    if state is State.READY:
        return f"healthy: {state.value}" if whole else "not healthy: the gateway answers, but a part is missing"
    if state is State.BUILDING:
        return f"not healthy: {state.value}"
    if not os.access(outputs, os.W_OK):
        return f"not healthy: the outputs folder {outputs} is missing or cannot be written to"
    if not (outputs / API_ID_FILE).exists():
        return f"not healthy: {outputs / API_ID_FILE} is missing, so the last build failed (scripts/up.sh says why)"
    return f"not healthy: the API of {outputs / API_ID_FILE} does not answer (scripts/up.sh builds it again)"


def engine(url: str) -> str:
    """Return the name and version of the engine that answers at ``url``."""
    report = json.loads(http_client.request("GET", f"{url}/_localstack/health").body)
    name = "MiniStack" if http_client.request("GET", f"{url}/_ministack/health").status == 200 else "LocalStack"
    return f"{name} {report.get('version', 'of an unknown version')}"


def function(aws: Aws, definition: Definition, lambdas: Path, one: Function) -> Part:
    """Return whether the function is there and has the working tree's code."""
    name = one.name
    found = functions.find(aws, definition.function_name(one))
    if found is None:
        return Part("function", f"{name:<11} missing: scripts/up.sh deploys it", sound=False)
    current = found["Configuration"]
    deployed = datetime.fromisoformat(current["LastModified"]).timestamp()
    facts = f"deployed {ago(time.time() - deployed)}, sha256 {current['CodeSha256'][:12]}…"
    if not mark.is_on(aws, definition, found.get("Tags") or {}):
        return Part("function", f"{name:<11} foreign: this project did not make it, and does not touch it", sound=False)
    if current.get("State", "Active") != "Active":
        reason = f" ({current['StateReason']})" if current.get("StateReason") else ""
        return Part("function", f"{name:<11} {current['State'].lower()} {facts}{reason}", sound=False)
    try:
        wanted = package.build(lambdas, name).sha256
    except PackageError as error:
        return Part("function", f"{name:<11} stale  {facts} ({error})")
    if wanted == current["CodeSha256"]:
        return Part("function", f"{name:<11} live   {facts}")
    note = f"the working tree has {wanted[:12]}… (scripts/up.sh deploys it)"
    return Part("function", f"{name:<11} stale  {facts}, {note}")


def storage(url: str) -> Iterator[Part]:
    """Yield why the engine can store nothing, where it says so."""
    answer = http_client.request("GET", f"{url}{STORAGE}")
    if answer.status == HTTPStatus.OK and answer.body:
        yield Part(
            "storage",
            f"{answer.body.decode()}: writes are refused, links are followed uncounted: free some space",
            sound=False,
        )


def ago(seconds: float) -> str:
    """Return a time in the past, in the unit that a person would use."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def links(aws: Aws, table: str) -> Part:
    """Return how many links the table has, and the clicks on them unless there are too many links to add up."""
    client = aws["dynamodb"]
    try:
        count = client.describe_table(TableName=table)["Table"]["ItemCount"]
        if count > COUNTED:
            return Part("links", f"{count:,} (clicks are added up for {COUNTED:,} links at most)")
        pages = client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="click_count")
        rows = [row for page in pages for row in page["Items"]]
    except client.exceptions.ResourceNotFoundException:
        return Part("links", f"none: the table {table} is missing", sound=False)
    clicks = sum(int(row.get("click_count", {}).get("N", 0)) for row in rows)
    return Part("links", f"{len(rows):,}, with {clicks:,} click{'' if clicks == 1 else 's'}")


def errors(aws: Aws, definition: Definition) -> Iterator[str]:
    """Yield the errors that the functions have logged of late, in order."""
    since = time.time() - ERRORS_SINCE
    found: list[tuple[int, str]] = []
    for name in (one.name for one in definition.functions):
        for when, text in logs.tail_of(aws["logs"], definition, name, since, pattern="ERROR").new():
            if readable := logs.readable(when, name, text):
                found.append((when, readable))
    yield from (text for _, text in sorted(found))


if __name__ == "__main__":
    sys.exit(main())
