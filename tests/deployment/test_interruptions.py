"""A build that the engine's end cuts off, at any of its calls, is completed by the next start."""

import json
import re
import threading
from collections.abc import Callable

import pytest

import builds
from engine_proxy import Drop, Reply, Request, proxy
from project import Project, aws
from stack.definition import DEFINITION

# The calls of a build from nothing that change something, with names for the IDs in them.
CALLS = [
    "CreateTable",
    "UpdateTimeToLive",
    "CreateRole",
    "PutRolePolicy",
    "POST /v2/apis",
    "POST /2015-03-31/functions",
    "POST /v2/apis/API/integrations",
    "POST /v2/apis/API/authorizers",
    "POST /v2/apis/API/routes",
    "POST /v2/apis/API/stages",
    *(f"POST /2015-03-31/functions/{name}/policy" for name in ("shorten", "redirect", "links", "authorizer")),
    "POST /_aws/execute-api/API/dev/shorten",
    "GET /_aws/execute-api/API/dev/r/__deployment-probe__",
    "GET /_aws/execute-api/API/dev/links",
]
SOME = ("POST /2015-03-31/functions", "POST /v2/apis/API/routes")  # the rest are for --search
ENDS = {"cleanly": lambda project: project.down(), "by kill": lambda project: project.kill()}


def name_of(request: Request) -> str:
    return re.sub(rf"/{DEFINITION.api_id}\b", "/API", request.operation)


def build_until(project: Project, call: str, end: Callable[[Project], None]) -> None:
    """Build, and end the engine as soon as it has done a call of this name. Later calls find nobody."""
    ended = threading.Lock()
    over = threading.Event()

    def fault(request: Request) -> Reply | None:
        if over.is_set():
            raise Drop(done=False)
        return None

    def after(request: Request, body: bytes) -> bytes:
        if name_of(request) == call and ended.acquire(blocking=False):
            over.set()
            end(project)
        return body

    with proxy(project.engine, fault, after) as engine:
        done = builds.run(project, engine=engine, attempts=1)
    assert over.is_set(), f"no call of {call}"
    assert done.error, done


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("call", [one if one in SOME else pytest.param(one, marks=pytest.mark.search) for one in CALLS])
def test_a_stop_during_the_build_is_overcome_by_the_next_start(built: Project, call: str, how: str) -> None:
    builds.empty(built)
    build_until(built, call, ENDS[how])
    stack = built.up()
    assert stack.api_id == DEFINITION.api_id
    code = stack.shorten({"long_url": "https://example.com/"}).json()["code"]
    assert stack.follow(code).status_code == 302
    again = builds.succeed(built)
    assert not again.changes("created") | again.changes("updated") | again.changes("removed")


@pytest.mark.parametrize("how", ["nudged by an update", "made anew"])
def test_functions_that_stay_pending_become_active_again(
    built: Project, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    builds.succeed(built)
    stuck, name = threading.Event(), "redirect"
    stuck.set()
    path = f"/2015-03-31/functions/{name}"

    def fault(request: Request) -> Reply | None:
        if request.method == "DELETE" and request.path == path:
            stuck.clear()
        if request.method == "PUT" and request.path.startswith(f"{path}/") and stuck.is_set():
            if how == "made anew":
                return Reply(409, "ResourceConflictException", "The function is in the following state: Pending")
            stuck.clear()
        return None

    def after(request: Request, body: bytes) -> bytes:
        if request.method == "GET" and request.path == path and stuck.is_set():
            found = json.loads(body)
            found["Configuration"] |= {"State": "Pending", "LastUpdateStatus": "InProgress"}
            return json.dumps(found).encode()
        return body

    monkeypatch.setattr("stack.deploy.resources.function.ACTIVE_TIMEOUT", 2)
    with proxy(built.engine, fault, after) as engine:
        done = builds.run(built, engine=engine)
    assert not done.error, done
    assert not stuck.is_set()
    assert ("function", name) in done.changes("updated")
    assert built.stack.follow("unknown").status_code == 404


def test_functions_that_are_pending_in_the_saved_state_are_active_after_a_start(built: Project) -> None:
    builds.succeed(built)
    built.down()
    (state,) = built.state.glob("*/lambda.json")
    text = state.read_text()
    assert '"State": "Active"' in text
    state.write_text(text.replace('"State": "Active"', '"State": "Pending"').replace('"Successful"', '"InProgress"'))
    stack = built.up()
    functions = aws(built.engine, "lambda").list_functions()["Functions"]
    assert {one["State"] for one in functions} == {"Active"}
    assert stack.follow("unknown").status_code == 404
