"""Print what is up, and whether it is the working tree's: ``python -m stack.commands.status [--json|--env]``."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from stack import http_client, packages
from stack.aws import Aws, Local
from stack.aws_errors import EXPLAINED, explain
from stack.checks import load
from stack.commands import logs
from stack.deploy import mark, package, region
from stack.deploy.resources import function as functions
from stack.engine.embedded import Embedded
from stack.engine.folder import Running
from stack.engine.health import State, look
from stack.errors import DeployError, PackageError
from stack.ministack import STORAGE
from stack.model import Definition
from stack.outputs import API_ID_FILE, API_URL_FILE
from stack.settings import PROJECT, Settings

COUNTED = 10_000  # links; MiniStack sorts the whole table for each page of a scan
LINKS = "shortlinks"  # the table of links, where the definition has one
ERRORS_SHOWN = 5
ERRORS_SINCE = 24 * 60 * 60  # seconds
ERROR_LEVELS = ("ERROR", "CRITICAL")
DOCKER_TIMEOUT = 10  # seconds
# What of the caller's AWS variables changes no request.
HARMLESS = ("AWS_PAGER", "AWS_CLI_", "AWS_DEFAULT_OUTPUT")
LEADING_ELSEWHERE = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")


@dataclass
class Report:
    """The status: what a person reads and what a program reads; ``sound`` unless a part has to be repaired."""

    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    sound: bool = True

    def say(self, subject: str, text: str) -> None:
        self.lines.append(f"{subject:<9} {text}")

    def add(self, subject: str, text: str, sound: bool = True, **facts: Any) -> None:
        """Add one of several parts of a kind."""
        self.say(subject, text)
        self.sound &= sound
        self.facts.setdefault(f"{subject}s", []).append(facts)


def main(arguments: list[str]) -> int:
    """Print the status; return 0 if the API answers and no part of it is missing, otherwise 1."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # head may have seen enough
    parser = argparse.ArgumentParser(prog="scripts/status.sh", add_help=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--env", action="store_true")
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown or (chosen.json and chosen.env):
        return fail(
            f"unknown argument {(unknown or arguments)[-1]!r}: scripts/status.sh takes --json or --env (--help)"
        )
    report = Report()
    healthy = False
    error = ""
    try:
        settings = Settings.from_environment(os.environ)
        if chosen.env:
            return print_environment(settings)
        healthy = look_at_all(settings, report)
    except EXPLAINED as problem:
        error = explain(problem)
    except OSError as problem:
        error = f"the status changed meanwhile ({problem}): run scripts/status.sh again"
    if chosen.json:
        print(json.dumps({"healthy": healthy, **report.facts, **({"error": error} if error else {})}, indent=2))
    elif report.lines:
        print("\n".join(report.lines), flush=True)
    if error:
        fail(error)
    return 0 if healthy else 1


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def look_at_all(settings: Settings, report: Report) -> bool:
    """Fill the report; return True if the API answers and nothing is missing.

    Raises OSError and the SDK's errors if the engine stops meanwhile.
    """
    target = Local(settings.host_port, settings.aws_default_region)
    url = target.url
    state = look(url, settings.outputs)
    running = Embedded(settings, settings.state_dir).running()
    place = where(running, settings.host_port)
    report.facts["state"] = state.name.lower()
    if state in (State.STARTING, State.OTHER):
        report.facts["message"] = absent(state, url, place, running)
        report.say("state", report.facts["message"])
        return False
    report.facts["engine"] = {"name": engine(url), "place": place, "url": url}
    report.say("engine", f"{engine(url)}, {place or 'of another STATE_DIR or project'}, {url}")
    position = len(report.lines)
    definition = problem = None
    elsewhere = ""
    try:
        definition = load(settings.name_prefix)
        region.check(target, definition)
    except DeployError as error:
        if definition is None:
            problem = str(error)
        else:
            elsewhere = str(error)
    api_id = None
    if state is State.READY:
        api_id, api_url = ((settings.outputs / name).read_text().strip() for name in (API_ID_FILE, API_URL_FILE))
        report.facts["api"] = {"id": api_id, "url": api_url}
        report.say("API", f"{api_id}  {api_url}")
    if problem:
        report.facts["definition"] = problem
        report.say("definition", problem)
    storage(url, report)
    if not elsewhere:
        aws = Aws(("sts", "lambda", "dynamodb", "logs", "apigatewayv2"), target)
        look_at_parts(aws, definition, settings, api_id, report)
    healthy = state is State.READY and report.sound and not elsewhere
    message = f"not healthy: {elsewhere}" if elsewhere else condition(state, settings.outputs, report.sound)
    report.facts["message"] = message
    report.lines.insert(position, f"{'state':<9} {message}")
    return healthy


def look_at_parts(
    aws: Aws, definition: Definition | None, settings: Settings, api_id: str | None, report: Report
) -> None:
    """Report the functions, the routes, the links and the errors; without a definition, those of lambdas/."""
    python = packages.of_engine(settings.lambdas, aws.endpoints["lambda"])
    names = (
        [one.name for one in definition.functions]
        if definition
        else sorted(path.parent.name for path in settings.lambdas.glob(f"*/{package.ENTRY}"))
    )
    for name in names:
        function(aws, definition, settings, python, name, report)
    if api_id is not None:
        routes(aws, definition, settings, api_id, report)
    if definition is None or LINKS in [one.name for one in definition.tables]:
        links(aws, f"{settings.name_prefix}{LINKS}", report)
    found = list(errors(aws, names, settings))[-ERRORS_SHOWN:]
    report.facts["errors"] = found
    for line in [error["line"] for error in found] or ["none in the last 24 hours"]:
        report.say("errors", line)


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
        why = "the last build failed, or the stack was removed: run scripts/up.sh"
        return f"not healthy: {outputs / API_ID_FILE} is missing: {why}"
    return f"not healthy: the API of {outputs / API_ID_FILE} does not answer (scripts/up.sh builds it again)"


def engine(url: str) -> str:
    """Return the name and version of the engine that answers at ``url``."""
    report = json.loads(http_client.request("GET", f"{url}/_localstack/health").body)
    name = "LocalStack" if http_client.request("GET", f"{url}/_localstack/init").status == 200 else "MiniStack"
    return f"{name} {report.get('version', 'of an unknown version')}"


def function(
    aws: Aws, definition: Definition | None, settings: Settings, python: packages.Target, name: str, report: Report
) -> None:
    """Report whether the function is there and has the working tree's code."""

    def add(state: str, text: str, sound: bool = True, **facts: Any) -> None:
        report.add("function", f"{name:<11} {text}", sound, name=name, state=state, **facts)

    found = functions.find(aws, f"{settings.name_prefix}{name}")
    wanted = error = ""
    try:
        wanted = package.build(settings.lambdas, name, python).sha256
    except PackageError as problem:
        error = str(problem)
    if found is None:
        return add("missing", f"missing: {error or 'scripts/up.sh deploys it'}", sound=False)
    current = found["Configuration"]
    deployed = datetime.fromisoformat(current["LastModified"])
    about = {"deployed": f"{deployed:%Y-%m-%dT%H:%M:%S%z}", "sha256": current["CodeSha256"]}
    text = f"deployed {ago(time.time() - deployed.timestamp())}, sha256 {current['CodeSha256'][:12]}…"
    if definition and not mark.is_on(aws, definition, found.get("Tags") or {}):
        return add("foreign", "foreign: this project did not make it, and does not touch it", sound=False, **about)
    if current.get("State", "Active") != "Active":
        state = current["State"].lower()
        reason = f" ({current['StateReason']})" if current.get("StateReason") else ""
        return add(state, f"{state} {text}{reason}", sound=False, **about)
    if error:
        return add("stale", f"stale  {text} ({error})", **about)
    if wanted == current["CodeSha256"]:
        return add("live", f"live   {text}", **about)
    note = f"the working tree has {wanted[:12]}… (scripts/up.sh deploys it)"
    return add("stale", f"stale  {text}, {note}", **about)


def routes(aws: Aws, definition: Definition | None, settings: Settings, api_id: str, report: Report) -> None:
    """Report the API's routes with their functions, and those that the definition has and the API has not."""
    gateway = aws["apigatewayv2"]
    try:
        uris = {
            f"integrations/{one['IntegrationId']}": one.get("IntegrationUri", "")
            for page in gateway.get_paginator("get_integrations").paginate(ApiId=api_id)
            for one in page["Items"]
        }
        pages = gateway.get_paginator("get_routes").paginate(ApiId=api_id)
        found = {one["RouteKey"]: one for page in pages for one in page["Items"]}
    except gateway.exceptions.NotFoundException:  # gone since the look at the API
        return
    order = [route.key for route in definition.routes] if definition else []
    for key in [*order, *sorted(set(found) - set(order))]:
        if key not in found:
            report.add("route", f"{key:<21} missing: scripts/up.sh makes it", False, route=key, state="missing")
            continue
        to = uris.get(found[key].get("Target", ""), "").rpartition(":")[2].removeprefix(settings.name_prefix)
        token = found[key].get("AuthorizationType", "NONE") != "NONE"
        text = f"{key:<21} {to:<11} {'needs a token' if token else 'needs no token'}"
        report.add("route", text, route=key, function=to, token=token)


def storage(url: str, report: Report) -> None:
    """Report why the engine can store nothing, where it says so."""
    answer = http_client.request("GET", f"{url}{STORAGE}")
    if answer.status == HTTPStatus.OK and answer.body:
        report.facts["storage"] = answer.body.decode()
        report.say(
            "storage", f"{answer.body.decode()}: writes are refused, links are followed uncounted: free some space"
        )
        report.sound = False


def ago(seconds: float) -> str:
    """Return a time in the past, in the unit that a person would use."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def links(aws: Aws, table: str, report: Report) -> None:
    """Report how many links the table has, and the clicks on them unless there are too many links to add up."""
    client = aws["dynamodb"]
    try:
        count = client.describe_table(TableName=table)["Table"]["ItemCount"]
        if count > COUNTED:
            report.facts["links"] = {"count": count}
            return report.say("links", f"{count:,} at most (clicks are added up for {COUNTED:,} links at most)")
        pages = client.get_paginator("scan").paginate(
            TableName=table, FilterExpression="attribute_exists(long_url)", ProjectionExpression="click_count"
        )
        rows = [row for page in pages for row in page["Items"]]
    except client.exceptions.ResourceNotFoundException:
        report.sound = False
        report.facts["links"] = None
        return report.say("links", f"none: the table {table} is missing")
    clicks = sum(int(row.get("click_count", {}).get("N", 0)) for row in rows)
    report.facts["links"] = {"count": len(rows), "clicks": clicks}
    return report.say("links", f"{len(rows):,}, with {clicks:,} click{'' if clicks == 1 else 's'}")


def errors(aws: Aws, names: list[str], settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield the errors that the functions have logged of late, in order."""
    since = int((time.time() - ERRORS_SINCE) * 1000)
    found: list[tuple[int, dict[str, Any]]] = []
    for name in names:
        group = f"/aws/lambda/{settings.name_prefix}{name}"
        for one in logs.Tail(aws["logs"], name, group, since, term="ERROR").new():
            when, text = one.when, one.text
            if (entry := error_entry(text)) is not None and (line := logs.readable(when, name, text)):
                moment = f"{datetime.fromtimestamp(when / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
                record = logs.RECORD.match(text)
                request_id = record[2] if record else entry.get("request_id")
                found.append((when, {"time": moment, "function": name, "request_id": request_id, "line": line}))
    yield from (error for _, error in sorted(found, key=lambda one: one[0]))


def error_entry(text: str) -> dict[str, Any] | None:
    """Return the fields of a line that is an error itself; None for one that only has the word in it.

    Not every engine heeds the pattern. Lambda itself starts the line of an error so: ``[ERROR] KeyError: 'x'``.
    """
    if text.startswith(tuple(f"[{level}]" for level in ERROR_LEVELS)):
        return {}
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("level") in ERROR_LEVELS else None


def print_environment(settings: Settings) -> int:
    """Print what a shell evaluates to call the API and the engine, and neither a proxy nor an account of its own."""
    url = f"http://127.0.0.1:{settings.host_port}"
    state = look(url, settings.outputs)
    if state is not State.READY:
        return fail(
            f"the stack at {url} is not up ({state.value}): scripts/status.sh says more, scripts/up.sh starts it"
        )
    signed = subprocess.run([sys.executable, PROJECT / "scripts/sign-token.py"], stdout=subprocess.PIPE, text=True)
    past = ",".join(dict.fromkeys(["127.0.0.1", "localhost", *filter(None, os.environ.get("NO_PROXY", "").split(","))]))
    variables = {
        "API_URL": (settings.outputs / API_URL_FILE).read_text().strip(),
        **({"TOKEN": signed.stdout.strip()} if signed.returncode == 0 else {}),  # or else it has said why not
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": settings.aws_default_region,
        "AWS_REGION": settings.aws_default_region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": past,
        "no_proxy": past,
    }
    others = {name for name in os.environ if name.startswith("AWS_") and not name.startswith(HARMLESS)}
    print("unset", *sorted((others | {*LEADING_ELSEWHERE}) - variables.keys()))
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
