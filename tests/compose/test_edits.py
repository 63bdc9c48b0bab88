"""Edits of a stack that is up in Docker are live after one command, and an editor stops functions there."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from containers import Containers
from dap import Editor
from project import FUNCTION_NAMES, free_ports
from session import session

pytestmark = pytest.mark.compose
READY = "watching lambdas/, stack/ and .env"
LINK = {"long_url": "https://example.com/"}


def test_an_edit_and_a_function_with_native_code_come_and_go_with_one_command_and_no_restart(
    running: Containers, code: str
) -> None:
    stack = running.stack
    functions = stack.client("lambda")
    names = {one["FunctionName"] for one in functions.list_functions()["Functions"]}
    stack.shorten({**LINK, "code": code})
    identity = "{{.Id}} {{.State.StartedAt}}"
    before = running.inspect(identity)
    handler, definition = running.folder / "lambdas/redirect/handler.py", running.folder / "stack/definition.py"
    source, defined = handler.read_text(), definition.read_text()
    twin = running.folder / "lambdas/twin"
    twin.mkdir()
    try:
        handler.write_text(source.replace('"no-store"', '"no-store, private"'))
        (twin / "handler.py").write_text(f"import pydantic_core\n{source}")
        (twin / "requirements.txt").write_text("pydantic-core\n")
        running.define(
            '        Function("twin", (Route("GET /twin/{code}"),), reads=("shortlinks",), writes=("shortlinks",)),\n'
        )
        printed = running.check("scripts/up.sh")
        changed = [line.split()[:3] for line in printed.splitlines() if " updated " in line]
        assert ["function", "redirect", "updated"] in changed
        assert [name for kind, name, _ in changed if kind == "function"] == ["redirect"]
        assert stack.follow(code).headers["cache-control"] == "no-store, private"
        with stack.http() as client:
            assert client.get(f"/twin/{code}").status_code == 302
    finally:
        handler.write_text(source)
        definition.write_text(defined)
        (twin / "requirements.txt").unlink()
        running.check("scripts/up.sh")
    with stack.http() as client:
        assert client.get(f"/twin/{code}").json() == {"message": "Not Found"}
    assert {one["FunctionName"] for one in functions.list_functions()["Functions"]} == names
    assert stack.follow(code).headers["cache-control"] == "no-store"
    assert running.inspect(identity) == before


def test_an_editor_stops_the_authorizer_common_code_and_a_handler_of_a_container(
    running: Containers, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = free_ports(len(FUNCTION_NAMES))
    monkeypatch.setitem(running.settings, "DEBUG_PORT", str(first))
    places = {
        "authorizer": ("lambdas/authorizer/handler.py", '"isAuthorized": True'),
        "shorten": ("lambdas/common/http.py", 'event.get("body")'),
        "redirect": ("lambdas/redirect/handler.py", "find = peek"),
    }
    container = running.container
    source = (running.folder / places["redirect"][0]).read_text()
    with (
        session(running, "scripts/dev.sh", "--debug", *places) as window,
        ThreadPoolExecutor(1) as requests,
    ):
        window.shows(READY)
        stack = running.stack
        assert stack.shorten({**LINK, "code": f"{code}-before"}).status_code == 201
        stops = {}
        for name, (file, text) in places.items():
            path = running.folder / file
            line = next(number for number, one in enumerate(path.read_text().splitlines(), 1) if text in one)
            editor = Editor(first + FUNCTION_NAMES.index(name), {path: [line]})
            stops[name] = editor, (path, line)

        answer = requests.submit(stack.shorten, {**LINK, "code": code})
        for name in ("authorizer", "shorten"):
            stop = stops[name][0].stopped()
            assert stop.place == stops[name][1]
            stop.go_on()
        assert answer.result().status_code == 201

        editor, place = stops["redirect"]
        answer = requests.submit(stack.follow, code)
        stop = editor.stopped()
        assert stop.place == place
        assert stop.locals()["code"] == repr(code)
        stop = stop.step()
        assert stop.place == (place[0], place[1] + 1)
        place[0].write_text(source.replace('"no-store"', '"no-store, edited"'))
        assert editor.asked_to_attach_again()
        assert answer.result().status_code >= 500
        with Editor(first + FUNCTION_NAMES.index("redirect"), {place[0]: [place[1]]}) as editor:
            answer = requests.submit(stack.follow, code)
            editor.stopped().go_on()
            assert answer.result().headers["cache-control"] == "no-store, edited"
        for editor, _ in stops.values():
            editor.close()
        assert window.interrupt() == 0
    assert "Traceback" not in window.printed
    assert running.container == container
    assert running.stack.follow(code).status_code == 302
    assert running.shell("ls -d /tmp/debugger-*").returncode != 0
    place[0].write_text(source)
