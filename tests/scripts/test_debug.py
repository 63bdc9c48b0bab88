"""scripts/dev.sh --debug: an editor stops a function at a breakpoint behind a real request, and no limit ends that."""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import builds
from dap import Editor
from project import CHECKOUT, DEFAULTS, FUNCTION_NAMES, Project, free_ports, until
from session import Session, session
from stack.commands import redeploy
from stack.commands.debugging import Debugging
from stack.definition import DEFINITION
from stack.errors import DeployError
from stack.settings import Settings

pytestmark = pytest.mark.long

READY = "==> watching lambdas/, stack/ and .env"
LINK = {"long_url": "https://example.com/"}
REDIRECT, SHORTEN, AUTHORIZER = (f"lambdas/{name}/handler.py" for name in ("redirect", "shorten", "authorizer"))
COMMON = "lambdas/common/http.py"
DEBUGGED = ("redirect", "shorten", "authorizer")


class Desk:
    """A project with dev.sh --debug running, an editor, and requests in the background."""

    def __init__(self, project: Project, window: Session) -> None:
        self.project, self.window, self.stack = project, window, project.stack
        self.requests = ThreadPoolExecutor(4)

    def line(self, file: str, text: str) -> tuple[Path, int]:
        """Return the file and the line of a text."""
        path = self.project.folder / file
        return path, next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)

    def port(self, function: str) -> int:
        return int(self.project.settings["DEBUG_PORT"]) + FUNCTION_NAMES.index(function)

    def edit(self, function: str, *lines: tuple[Path, int]) -> Editor:
        """Attach an editor to a function, with breakpoints."""
        return Editor(self.port(function), {path: [line] for path, line in lines})

    def save_breakpoint(self) -> None:
        """Have redirect call breakpoint(), and wait until that is passed."""
        path, line = self.line(REDIRECT, "find = peek")
        path.write_text(path.read_text().replace("    find = peek", "    breakpoint()\n    find = peek"))
        said = f"handler.py, line {line}, was passed: attach your editor to port {self.port('redirect')}"
        before = self.window.printed.count(said)

        def passed() -> bool:
            self.stack.follow("mine")
            return self.window.printed.count(said) > before

        until("breakpoint() is passed", passed, look_every=0.3)

    def follow(self, code: str = "mine") -> "Future[httpx.Response]":
        return self.requests.submit(self.stack.follow, code)

    def shorten(self, **body: str) -> "Future[httpx.Response]":
        return self.requests.submit(self.stack.shorten, {**LINK, **body})


@pytest.fixture(scope="module")
def desk(shared: Project) -> Iterator[Desk]:
    """Yield a desk whose functions would be ended after two seconds, on a stack that was up before."""
    settings = {**shared.settings, "DEBUG_PORT": str(free_ports(len(FUNCTION_NAMES)))}
    limits = shared.folder / "stack/deploy/resources/function.py"
    before = limits.read_text()
    limits.write_text(re.sub("^TIMEOUT = 10 ", "TIMEOUT = 2 ", before, flags=re.MULTILINE))
    handler = shared.folder / REDIRECT
    code = handler.read_text()
    try:
        with session(replace(shared, settings=settings), "scripts/dev.sh", "--debug", *DEBUGGED) as window:
            window.shows(READY)
            desk = Desk(replace(shared, settings=settings), window)
            assert desk.shorten(code="mine").result().status_code == 201  # with no editor attached
            yield desk
            the_end_leaves_the_functions_as_they_were(desk)
    finally:
        limits.write_text(before)
        handler.write_text(code)
        builds.succeed(shared)
        for link in ("mine", "stopped"):
            shared.stack.client("dynamodb").delete_item(TableName="shortlinks", Key={"code": {"S": link}})


def the_end_leaves_the_functions_as_they_were(desk: Desk) -> None:
    """Press Ctrl-C while a function stands still, and see that its breakpoint() is passed from then on."""
    desk.save_breakpoint()
    with desk.edit("redirect") as editor:
        answer = desk.follow("unknown")
        editor.stopped()
        assert desk.window.interrupt() == 0
        assert answer.result().status_code >= 500
    assert desk.window.printed.endswith("==> the stack is left running, as it was: scripts/down.sh stops it\n")
    assert "Traceback" not in desk.window.printed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", desk.port("redirect")))
    ended = int(time.time() * 1000)
    assert desk.stack.follow("unknown").status_code == 404
    group = desk.stack.client("logs").filter_log_events(logGroupName="/aws/lambda/redirect", startTime=ended)
    log = "\n".join(event["message"] for event in group["events"])
    assert "was passed: run scripts/dev.sh --debug redirect, then attach your editor" in log


def test_a_breakpoint_in_a_handler_stops_it_past_its_time_limit(desk: Desk) -> None:
    path, line = desk.line(REDIRECT, 'code = event["pathParameters"]["code"]')
    with desk.edit("redirect", (path, line)) as editor:
        answer = desk.follow()
        stop = editor.stopped()
        assert stop.place == (path, line)
        assert "code" not in stop.locals()
        stop = stop.step()
        assert stop.place == (path, line + 1)
        assert stop.locals()["code"] == "'mine'"
        limit = time.monotonic() + 3
        until("the limit is past", lambda: answer.done() or time.monotonic() > limit)
        assert not answer.done()
        stop.go_on()
        assert answer.result().status_code == 302
        answer = desk.follow()
        editor.stopped()
    assert answer.result().status_code == 302  # once the editor is gone
    assert desk.follow().result().status_code == 302  # and it stops no more


def test_breakpoints_in_the_authorizer_and_in_common_stop_one_request_after_the_other(desk: Desk) -> None:
    asked = desk.line(AUTHORIZER, '"isAuthorized": True')
    common = desk.line(COMMON, 'event.get("body")')
    with desk.edit("authorizer", asked) as first, desk.edit("shorten", common) as second:
        answer = desk.shorten(code="stopped")
        stop = first.stopped()
        assert stop.place[0] == asked[0]
        stop.go_on()
        stop = second.stopped()
        assert stop.place == common
        assert "POST /shorten" in stop.locals()["event"]
        stop.go_on()
        assert answer.result().status_code == 201


def test_a_second_request_waits_for_the_one_that_is_stopped(desk: Desk) -> None:
    with desk.edit("redirect", desk.line(REDIRECT, "find = peek")) as editor:
        both = [desk.follow(), desk.follow("unknown")]
        codes = []
        for _ in both:
            stop = editor.stopped()
            codes.append(stop.locals()["code"])
            stop.go_on()
        assert sorted(codes) == ["'mine'", "'unknown'"]
        assert [one.result().status_code for one in both] == [302, 404]


def test_a_save_reloads_the_function_and_asks_the_editor_to_attach_again(desk: Desk) -> None:
    place = desk.line(REDIRECT, "find = peek")
    before = place[0].read_text()
    try:
        with desk.edit("redirect", place) as editor:
            waiting = desk.follow()
            editor.stopped()
            place[0].write_text(before.replace('"no-store"', '"no-store, edited"'))
            assert editor.asked_to_attach_again()
            assert waiting.result().status_code >= 500
        with desk.edit("redirect", place) as editor:
            answer = desk.follow()
            stop = editor.stopped()
            assert stop.place == place
            stop.go_on()
            assert answer.result().headers["cache-control"] == "no-store, edited"
    finally:
        place[0].write_text(before)
    until("the code before serves", lambda: desk.stack.follow("mine").headers.get("cache-control") == "no-store")


def test_breakpoint_stops_in_an_editor_and_says_how_to_attach_without_one(desk: Desk) -> None:
    path, _ = desk.line(REDIRECT, "find = peek")
    before = path.read_text()
    try:
        desk.save_breakpoint()
        with desk.edit("redirect") as editor:
            answer = desk.follow()
            stop = editor.stopped()
            assert stop.place[0] == path
            assert stop.locals()["code"] == "'mine'"
            stop.go_on()
            assert answer.result().status_code == 302
    finally:
        path.write_text(before)


def test_what_is_deployed_is_what_an_ordinary_build_deploys(desk: Desk) -> None:
    def states() -> set[str]:
        return {*re.findall(r"^function  \S+ +(\w+) ", builds.status(desk.project)[1], re.MULTILINE)}

    until("every function runs the zip of the working tree", lambda: states() == {"live"})


def test_a_page_in_a_browser_cannot_speak_to_the_debugger(desk: Desk) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"http://127.0.0.1:{desk.port('shorten')}/", content=b"{}", trust_env=False)


def test_a_port_that_is_taken_is_said_and_nothing_is_debugged(capfd: pytest.CaptureFixture[str]) -> None:
    port = free_ports(len(FUNCTION_NAMES))
    settings = Settings.from_environment({**DEFAULTS, "DEBUG_PORT": str(port)})
    with socket.create_server(("127.0.0.1", port + len(FUNCTION_NAMES) - 1)):
        assert redeploy.debug(settings, DEFINITION, ["all"]) is None
    said = capfd.readouterr()
    assert "free it, or set DEBUG_PORT to another one" in said.err
    assert said.out == "==> nothing is debugged: the next save of stack/ or .env tries that again\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--debug", "shortn"), "there is no function 'shortn': lambdas/shortn/handler.py is missing"),
        (("--debug",), "unknown argument '--debug': scripts/dev.sh [--debug FUNCTION...|all] (--help)"),
        (("--debugg", "x"), "unknown argument '--debugg': scripts/dev.sh [--debug FUNCTION...|all] (--help)"),
    ],
)
def test_a_slip_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = Project.copy(tmp_path).run("scripts/dev.sh", *arguments)
    assert (done.returncode, done.stderr) == (1, f"error: {said}\n")


def test_localstack_has_no_breakpoints(tmp_path: Path) -> None:
    settings = replace(
        Settings.from_environment({}),
        localstack_auth_token="ls-token",
        state_dir=tmp_path,
        debug_port=free_ports(len(FUNCTION_NAMES)),
    )
    debugging = Debugging(settings, DEFINITION, ["all"])
    with pytest.raises(DeployError, match="LocalStack has no breakpoints: unset LOCALSTACK_AUTH_TOKEN"):
        debugging.open()
    debugging.close()


def test_the_editor_s_file_has_an_entry_for_each_function() -> None:
    text = (CHECKOUT / ".vscode/launch.json").read_text()
    entries = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))["configurations"]
    first = int(DEFAULTS["DEBUG_PORT"])
    assert [(one["name"], one["connect"]["port"]) for one in entries] == [
        (name, first + number) for number, name in enumerate(FUNCTION_NAMES)
    ], "one entry a function in .vscode/launch.json, in the order of stack/definition.py"
