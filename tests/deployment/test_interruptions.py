"""A build that the engine's end cuts off, at any of its calls, is completed by the next start."""

import base64
import json
import re
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

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
    *(f"POST /2015-03-31/functions/{name}/policy" for name in ("shorten", "redirect", "authorizer")),
    "POST /_aws/execute-api/API/dev/shorten",
    "GET /_aws/execute-api/API/dev/r/__deployment-probe__",
]
ENDS: dict[str, Callable[[Project], None]] = {"cleanly": builds.stop, "by kill": Project.kill}
# In the order of a build, so that the second is met on what the first has left; --search meets each from nothing.
SOME = (("POST /2015-03-31/functions", "by kill"), ("POST /v2/apis/API/routes", "cleanly"))
OF_TABLES = ("CreateTable", "UpdateTimeToLive")
LINK = {"long_url": "https://example.com/", "code": "kept"}


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
        done = builds.run(project, builds.FEW, engine=engine, attempts=1)
    assert over.is_set(), f"no call of {call}"
    assert done.error, done


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(SOME, id="one after the other", marks=pytest.mark.long),
        *(pytest.param(((call, how),), id=f"{call} {how}", marks=pytest.mark.search) for call in CALLS for how in ENDS),
    ],
)
def test_stops_during_the_build_are_overcome_by_the_next_start(few: Project, ends: tuple[tuple[str, str], ...]) -> None:
    before = few.stack
    before.shorten(LINK)
    before.follow("kept")
    without_tables = any(call in OF_TABLES for call, _ in ends)
    builds.remove(few, builds.FEW, with_tables=without_tables)
    for call, how in ends:
        build_until(few, call, ENDS[how])
        if how == "cleanly":
            assert list(few.outputs.iterdir()) == []
            damage(few)
        builds.start(few)
    builds.succeed(few, builds.FEW)
    stack = few.stack
    assert stack.url == before.url
    if not without_tables:
        assert stack.clicks("kept") == 1
        assert stack.follow("kept").headers["location"] == LINK["long_url"]
    code = stack.shorten({"long_url": "https://example.com/"}).json()["code"]
    assert stack.follow(code).status_code == 302
    functions = aws(few.engine, "lambda").list_functions()["Functions"]
    assert {one["State"] for one in functions} == {"Active"}
    again = builds.succeed(few, builds.FEW)
    assert not again.changes("created") | again.changes("updated") | again.changes("removed")
    if how == "cleanly":  # what was lost has been deployed again, and is saved
        builds.stop(few)
        saved = {path.stem for path in archives(few) if zipfile.is_zipfile(path)}
        assert {base64.b64decode(one["CodeSha256"]).hex() for one in functions} <= saved


def archives(project: Project) -> list[Path]:
    """Return the files with the functions' code that the engine has saved."""
    return [path for path in (project.state / "data/lambda-blobs").rglob("*") if path.is_file()]


def damage(project: Project) -> None:
    """Have an engine that is down find its functions pending, as it may save them, and half of their code lost."""
    if not archives(project):
        return  # there was no function yet
    state = project.state / "data/lambda.json"
    text = state.read_text()
    assert re.search('"State": "(Active|Pending)"', text)
    state.write_text(text.replace('"State": "Active"', '"State": "Pending"').replace('"Successful"', '"InProgress"'))
    for archive in archives(project)[::2]:
        archive.write_bytes(b"garbled")


@pytest.mark.parametrize("how", ["nudged by an update", "made anew"])
def test_functions_that_stay_pending_become_active_again(
    few: Project, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
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

    monkeypatch.setattr("stack.deploy.resources.function.ACTIVE_TIMEOUT", 1)
    with proxy(few.engine, fault, after) as engine:
        done = builds.run(few, builds.FEW, engine=engine)
    assert not done.error, done
    assert not stuck.is_set()
    assert ("function", name) in done.changes("updated")
    assert few.stack.follow("unknown").status_code == 404
