"""The day's work in Docker: a save is live, status and logs tell what is up, and Ctrl-C leaves everything as it was."""

import re

import pytest

from project import answers, until
from session import session

from .containers import Containers

pytestmark = pytest.mark.compose
READY = "watching lambdas/, stack/ and .env"
LINK = {"long_url": "https://example.com/", "code": "mine"}


def test_a_save_is_live_and_ctrl_c_stops_what_was_started(project: Containers) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    before = handler.read_text()
    with session(project, "scripts/dev.sh") as window:
        window.shows(READY)
        stack = project.stack
        assert stack.shorten(LINK).status_code == 201

        handler.write_text(before.replace('"no-store"', '"no-store, edited"'))
        until("the edit is live", lambda: stack.follow("mine").headers.get("cache-control") == "no-store, edited")
        handler.write_text(before.replace("    find = peek", "    find = = peek"))
        window.shows("error: lambdas/redirect/handler.py, line 15: invalid syntax")
        assert stack.follow("mine").headers["cache-control"] == "no-store, edited"
        window.shows("redirect   GET /r/{code}     302")
        assert window.interrupt() == 0
    assert "Traceback" not in window.printed
    assert window.printed.endswith("==> down\n")
    assert not answers(project.engine)
    assert not project.published


def test_status_and_logs_tell_what_is_up(project: Containers) -> None:
    project.compose_up()
    project.stack.shorten(LINK)
    project.stack.follow("mine")
    printed = project.check("scripts/status.sh")
    assert re.search(rf"^engine    MiniStack [\d.]+, in Docker, {project.engine}$", printed, re.MULTILINE)
    assert "state     healthy: the API answers\n" in printed
    states = dict(re.findall(r"^function  (\S+) +(\w+) ", printed, re.MULTILINE))
    assert {"shorten", "redirect", "links", "authorizer"} <= {*states}
    assert {*states.values()} == {"live"}
    assert "links     1, with 1 click\n" in printed
    with session(project, "scripts/logs.sh", "redirect") as window:
        window.shows("redirect   GET /r/{code}     302")
        assert window.interrupt() == 0


def test_a_function_is_added_and_removed(project: Containers) -> None:
    stack = project.up()
    functions = stack.client("lambda")
    names = {one["FunctionName"] for one in functions.list_functions()["Functions"]}
    definition = project.folder / "stack/definition.py"
    before = definition.read_text()
    (project.folder / "lambdas/twin").mkdir()
    source = (project.folder / "lambdas/redirect/handler.py").read_text()
    (project.folder / "lambdas/twin/handler.py").write_text(source)
    project.define(
        '        Function("twin", (Route("GET /twin/{code}"),), reads=("shortlinks",), writes=("shortlinks",)),\n'
    )
    project.up()
    stack.shorten(LINK)
    with stack.http() as client:
        assert client.get("/twin/mine").status_code == 302
    definition.write_text(before)
    project.up()
    with stack.http() as client:
        assert client.get("/twin/mine").json() == {"message": "Not Found"}
    assert {one["FunctionName"] for one in functions.list_functions()["Functions"]} == names
