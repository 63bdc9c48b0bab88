"""The benchmark's course: see scripts/bench.py, which runs it with what it needs."""

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from bench import beside, report, rows
from bench.load import Shot, Times, fire
from bench.stack import OwnStack, by_hand
from project import Project, Stack
from stack import dotenv as env
from stack.aws import Aws, Local
from stack.definition import DEFINITION
from stack.settings import Settings

CONNECTIONS = (1, 8, 32)
REQUESTS = {1: 200, 8: 400, 32: 640}  # in each round
ROUNDS = 3
REPEATS = 5
EDITS = 20
CODE = "bench"
LINK = {"long_url": "https://example.com/", "code": CODE}
CACHED = 300  # seconds

progress = Console(stderr=True)


def main() -> int:
    """Measure, print, write; 0, or 1 when an answer was wrong or missing."""
    parser = argparse.ArgumentParser(prog="scripts/bench.py", add_help=False)
    parser.add_argument("--stack-url", metavar="URL", help="ask the stack whose API is at URL")
    parser.add_argument("--rows", action="store_true", help="measure how a stack behaves as its table grows, instead")
    parser.add_argument("--quick", action="store_true", help="few requests: it works, but its figures say little")
    arguments = parser.parse_args()
    for name in env.load({}):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.rows:
            return measure_rows(Path(folder), arguments.quick)
        if arguments.stack_url:
            results = report.Results(load=measure_load(Stack(arguments.stack_url), arguments.quick))
        else:
            results = measure_own_stack(Path(folder), arguments.quick)
    print(report.table(results))
    for path in report.write(results):
        print(f"written: {path}")
    return 1 if any(times.wrong for times in results.load.values()) else 0


def measure_rows(folder: Path, quick: bool) -> int:
    """Print how a stack of its own behaves with more and more links in its table; 0."""
    own = OwnStack(Project.copy(folder))
    try:
        with progress.status("first start") as status:
            measured = list(rows.measure(own, rows.QUICK_ROWS if quick else rows.ROWS, status.update))
        print(rows.table(measured))
        return 0
    finally:
        own.down()


def measure_own_stack(folder: Path, quick: bool) -> report.Results:
    """Everything: the builds first, then the load on the stack that they leave."""
    repeats = 1 if quick else REPEATS
    own = OwnStack(Project.copy(folder))
    try:
        with progress.status("first start") as status:
            own.up()
            builds: dict[str, list[float]] = {}

            def repeat(name: str, measure: Callable[[], float], before: Callable[[], object] = lambda: None) -> None:
                for number in range(repeats):
                    status.update(f"{name}, {number + 1} of {repeats}")
                    before()
                    builds.setdefault(name, []).append(measure())

            repeat("the engine alone, with nothing to build", own.bare_engine, own.down)
            repeat("up.sh, with its .venv, to the first right answer", own.up, own.down)
            repeat("first POST /shorten and GET of its link after up.sh", own.first_requests, own.restart)
            repeat("the build by hand, an awslocal call after another", lambda: by_hand(own.project, folder), own.empty)
            repeat("the hooks, from nothing", own.hooks, own.empty)
            repeat("the hooks, a second run", own.hooks)
            repeat("the deployment in one process, from nothing", own.deploy, own.empty)
            repeat("the deployment in one process, a second run", own.deploy)
            repeat("edit to live, through up.sh", own.edit_to_live)
            status.update("edit to live, with dev.sh")
            builds["edit to live, with dev.sh"] = own.edits_live(2 if quick else EDITS)
            for function in DEFINITION.functions:
                repeat(f"cold start of {function.name}", lambda name=function.name: own.cold_start(name))  # type: ignore[misc]
            own.up()
        load = measure_load(own.project.stack, quick)
        return report.Results(load=load, builds=builds, memory=own.memory())
    finally:
        own.down()


def measure_load(stack: Stack, quick: bool) -> dict[tuple[str, int], Times]:
    """Every shot over every number of connections, in rounds, so that a drift of the machine meets all alike."""
    results: dict[tuple[str, int], Times] = {}
    with progress.status("deploying the references") as status, references(stack) as (base, aws):
        stack.shorten(LINK)
        rounds = 1 if quick else ROUNDS
        for number in range(rounds):
            for connections in CONNECTIONS:
                count = connections * 4 if quick else REQUESTS[connections]
                for shot, ttl in shots(stack, base):
                    status.update(f"{shot.name}, {connections} connections, round {number + 1} of {rounds}")
                    with authorizer_ttl(aws, stack.api_id, ttl):
                        fire(shot, connections, 4 * connections, Times())  # to warm up
                        fire(shot, connections, count, results.setdefault((shot.name, connections), Times()))
    return results


def shots(stack: Stack, base: str) -> Iterator[tuple[Shot, int]]:
    """What is measured, with the authorizer's TTL meanwhile."""
    number = itertools.count()
    token = {"Authorization": f"Bearer {stack.token('bench')}"}
    unique = f"{os.getpid()}"

    def link() -> dict[str, object]:
        return {"headers": token, "json": {"long_url": f"https://example.com/{unique}/{next(number)}"}}

    yield Shot(report.FLOOR, "GET", f"{base}/floor", 204), 0
    yield Shot(report.TUTORIAL, "GET", f"{base}/tutorial/{CODE}", 302), 0
    yield Shot(report.GET, "GET", f"{stack.url}/r/{CODE}", 302), 0
    yield Shot("HEAD /r/{code}", "HEAD", f"{stack.url}/r/{CODE}", 302), 0
    yield Shot("GET /r/unknown", "GET", f"{stack.url}/r/bench-unknown", 404), 0
    yield Shot(report.POST, "POST", f"{stack.url}/shorten", 201, link), 0
    yield Shot(report.POST_CACHED, "POST", f"{stack.url}/shorten", 201, link), CACHED


@contextlib.contextmanager
def references(stack: Stack) -> Iterator[tuple[str, Aws]]:
    """The references' URL while they are deployed, and clients of the engine."""
    if stack.engine is None:
        sys.exit("error: the references are deployed beside the stack, so it has to be on a local engine")
    settings = Settings.from_environment(env.load())
    target = Local(int(stack.engine.rsplit(":", 1)[1]), settings.aws_default_region)
    aws = Aws(("sts", "iam", "lambda", "apigatewayv2"), target)
    with beside.deployed(aws, settings, stack.engine) as base:
        yield base, aws


@contextlib.contextmanager
def authorizer_ttl(aws: Aws, api_id: str, seconds: int) -> Iterator[None]:
    """The authorizer's answers are cached for so long meanwhile."""
    if seconds == 0:
        yield
        return
    gateway = aws["apigatewayv2"]
    (found,) = [
        one for one in gateway.get_authorizers(ApiId=api_id)["Items"] if one["Name"] == DEFINITION.authorizer.name
    ]
    which = {"ApiId": api_id, "AuthorizerId": found["AuthorizerId"]}
    gateway.update_authorizer(**which, AuthorizerResultTtlInSeconds=seconds)
    try:
        yield
    finally:
        gateway.update_authorizer(**which, AuthorizerResultTtlInSeconds=found["AuthorizerResultTtlInSeconds"])


if __name__ == "__main__":
    sys.exit(main())
