"""scripts/dev.sh: what is saved is live, what is broken is not, and Ctrl-C leaves everything as it was."""

import itertools
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from project import Project, Stack, answers, free_port, until
from session import Session, session
from stack.engine.folder import StateDir

pytestmark = pytest.mark.long

READY = "==> watching lambdas/, stack/ and .env"
WAITING = "==> waiting for a save that fixes this"
STOPPED = "error: the engine has stopped: the next save, or scripts/up.sh, starts it again"
HANDLER = "lambdas/redirect/handler.py"
EVERY = 0.3  # seconds between looks that take a request
LINK = {"long_url": "https://example.com/", "code": "mine"}


class Desk:
    """A project with dev.sh running, and an editor."""

    def __init__(self, project: Project, window: Session) -> None:
        self.project, self.window = project, window

    @property
    def stack(self) -> Stack:
        return self.project.stack

    def save(self, file: str, old: str, new: str) -> None:
        """Replace a file at once, as editors do."""
        path = self.project.folder / file
        text = path.read_text()
        assert old in text
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text.replace(old, new))
        draft.replace(path)

    @property
    def cache_control(self) -> str:
        """Return what the redirect function says, which each test changes."""
        value: str = self.stack.follow("mine").headers.get("cache-control", "")
        return value

    def modified(self) -> dict[str, str]:
        functions = self.stack.client("lambda").list_functions()["Functions"]
        return {one["FunctionName"]: one["LastModified"] for one in functions}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Yield a desk whose dev.sh started with a slip, and ends with Ctrl-C."""
    project = Project.copy(tmp_path_factory.mktemp("desk"))
    saved = {name: value for name, value in project.settings.items() if name != "HOST_PORT"}
    (project.folder / ".env.local").write_text(f"HOST_PORT={project.settings['HOST_PORT']}\n")
    settings, handler = project.folder / ".env", project.folder / HANDLER
    right, code = settings.read_text(), handler.read_text()
    settings.write_text(right.replace("LOG_LEVEL=INFO", "LOG LEVEL"))
    with session(replace(project, settings=saved), "scripts/dev.sh") as window:
        window.shows(WAITING)
        assert "error: .env, line " in window.printed
        settings.write_text(right)
        window.shows("==> ready in")  # it is not watching yet
        handler.write_text(code.replace('"no-store"', '"no-store, early"'))
        desk = Desk(project, window)
        assert desk.stack.shorten(LINK).status_code == 201
        until("the early save is live", lambda: desk.cache_control == "no-store, early", look_every=EVERY)
        window.shows(READY)
        handler.write_text(code)
        until("the code before serves", lambda: desk.cache_control == "no-store", look_every=EVERY)
        assert STOPPED not in window.printed
        yield desk
        saves = window.printed.count("==> saved: ")
        handler.write_text("import time\ntime.sleep(600)\n")
        window.shows("==> saved: ", saves + 1)
        assert window.interrupt() == 0
        assert "cannot be loaded: importing it takes over" not in window.printed
    assert "Next: " not in window.printed
    assert window.printed.endswith("==> the engine has stopped\n==> down\n")
    assert "Traceback" not in window.printed
    assert not answers(project.engine)
    assert not (project.outputs / "api_url").exists()


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put the sources back after each test, and wait until they serve."""
    if "desk" not in request.fixturenames:
        yield
        return
    desk: Desk = request.getfixturevalue("desk")
    handler = desk.project.folder / HANDLER
    before = handler.read_text()
    yield
    if handler.read_text() != before:
        handler.write_text(before)
    until("the code before serves", lambda: desk.cache_control == "no-store", look_every=EVERY)


def test_saves_are_live_and_no_other_function_is_touched(desk: Desk) -> None:
    before = desk.modified()
    desk.save("lambdas/page/style.css", "max-width: 46rem", "max-width: 47rem")
    desk.save(HANDLER, '"no-store"', '"no-store, edited"')
    desk.window.shows("lambdas/redirect/handler.py\n")
    with desk.stack.http() as client:
        until("the page is live", lambda: "max-width: 47rem" in client.get("/").text, look_every=EVERY)
    until("the function is live", lambda: desk.cache_control == "no-store, edited", look_every=EVERY)
    desk.window.shows("  function    redirect               updated ")
    after = desk.modified()
    assert {name for name in after if after[name] != before[name]} == {"page", "redirect"}


def test_a_save_of_common_code_redeploys_all_that_have_it(desk: Desk) -> None:
    before = desk.modified()
    desk.save("lambdas/common/links.py", '"""Read', '"""  Read')
    until("all are redeployed", lambda: all(desk.modified()[name] != before[name] for name in before), look_every=EVERY)


def test_a_syntax_error_is_named_with_its_line_and_the_previous_version_serves(desk: Desk) -> None:
    before = desk.modified()
    desk.save(HANDLER, "    find = peek", "    find = = peek")
    desk.window.shows("error: lambdas/redirect/handler.py, line 15: invalid syntax (the previous version serves)")
    assert desk.cache_control == "no-store"
    assert desk.modified() == before
    desk.save(HANDLER, "    find = = peek", "    find = peek")
    desk.window.shows("nothing to redeploy: that is what serves")


def test_code_that_does_not_load_is_named_and_the_previous_version_is_put_back(desk: Desk) -> None:
    desk.save(HANDLER, "import Any\n", "import Any\nimport no_such_module\n")
    desk.window.shows("No module named 'no_such_module'; name its package in lambdas/redirect/requirements.txt")
    desk.window.shows("(the previous version serves)")
    assert desk.cache_control == "no-store"


def test_a_handler_that_is_renamed_is_missed_and_the_previous_version_serves(desk: Desk) -> None:
    handler = desk.project.folder / "lambdas/redirect/handler.py"
    handler.rename(handler.with_name("renamed.py"))
    desk.window.shows("==> removed: lambdas/redirect/handler.py")
    desk.window.shows("error: lambdas/redirect/handler.py is missing")
    assert desk.cache_control == "no-store"
    handler.with_name("renamed.py").rename(handler)
    desk.window.shows("==> removed: lambdas/redirect/renamed.py")


def test_of_many_saves_the_last_one_is_live(desk: Desk) -> None:
    handler = desk.project.folder / "lambdas/redirect/handler.py"
    text = handler.read_text()
    for number in range(200):
        handler.write_text(text.replace('"no-store"', f'"no-store, {number}"'))
    until("the last save is live", lambda: desk.cache_control == "no-store, 199", look_every=EVERY)


def test_each_request_is_a_line_and_what_it_prints_and_its_error_are_shown_too(desk: Desk) -> None:
    edit = 'print("hello from", code)\n    if code == "fail":\n        raise KeyError("x")\n    find = peek'
    desk.save(HANDLER, "find = peek", edit)
    until("the edit is live", lambda: desk.cache_control and "hello from mine" in desk.window.printed, look_every=EVERY)
    assert desk.stack.follow("fail").status_code == 500
    desk.window.shows("KeyError: 'x' at lambdas/redirect/handler.py:17")
    request = "shorten    POST /shorten     201"
    before = desk.window.printed.count(request)
    for number in range(3):
        desk.stack.shorten({**LINK, "code": f"line-{number}"})
    desk.window.shows(request, times=before + 3)
    lines = [line for line in desk.window.printed.splitlines() if request in line]
    assert len(lines) == len(set(lines)) == before + 3
    assert all(re.fullmatch(rf"\d\d:\d\d:\d\d  {request} +\d+\.\d ms  [\w-]+", line) for line in lines)
    assert "START RequestId" not in desk.window.printed


def test_a_new_function_and_new_settings_are_picked_up_once_no_slip_is_left_and_start_an_engine_that_stopped(
    desk: Desk,
) -> None:
    """See that the engine comes back at another port, with what it had; the route's description is asked for."""
    folder, document = desk.project.folder / "lambdas/twin", desk.project.folder / "openapi.yaml"
    described, old, port = document.read_text(), desk.project.engine, str(free_port())
    watching, waiting = desk.window.printed.count(READY), desk.window.printed.count(WAITING)
    stopped = desk.window.printed.count(STOPPED)
    shutil.copytree(desk.project.folder / "lambdas/redirect", folder)
    desk.window.shows("lambdas/twin/ has no entry in stack/definition.py yet")
    local = desk.project.folder / ".env.local"
    local.write_text(f"{local.read_text()}LOG_LEVEL=LOUD\n")
    desk.window.shows(WAITING, waiting + 1)
    assert desk.window.printed.count("LOG_LEVEL is 'LOUD'") == 1
    assert desk.cache_control == "no-store"
    desk.project.check("scripts/down.sh", LOG_LEVEL="INFO")
    desk.window.shows(STOPPED, stopped + 1)
    desk.project.define(
        '        Function("twin", (Route("GET /twin/{code}"),), reads=("shortlinks",), writes=("shortlinks",)),\n'
    )
    desk.save("stack/definition.py", '"GET /r/{code}"', '"GET r"')
    desk.window.shows(WAITING, waiting + 2)
    secret = "another secret, of 32 bytes or more"
    local.write_text(f"HOST_PORT={port}\nJWT_SECRET='{secret}'\n")
    desk.project.settings |= {"HOST_PORT": port, "JWT_SECRET": secret}
    desk.window.shows(": 'GET r' cannot be a route")
    desk.window.shows(WAITING, desk.window.printed.partition(": 'GET r' cannot be a route")[0].count(WAITING) + 1)
    desk.save("stack/definition.py", '"GET r"', '"GET /r/{code}"')
    desk.window.shows(READY, watching + 1)
    assert not answers(old)
    assert desk.window.printed.count(STOPPED) == stopped + 1
    assert desk.window.printed.count("openapi.yaml does not describe GET /twin/{code} yet") == 1
    assert document.read_text() == described
    assert desk.stack.shorten({**LINK, "code": "secret"}).status_code == 201
    assert desk.cache_control == "no-store"
    desk.save("lambdas/twin/handler.py", '"no-store"', '"no-store, twin"')
    with desk.stack.http() as client:
        until(
            "the twin's edit is live",
            lambda: "twin" in client.get("/twin/mine").headers.get("cache-control", ""),
            look_every=EVERY,
        )


@pytest.mark.search
def test_an_engine_moves_to_another_port_with_what_it_has(desk: Desk) -> None:
    old, port, watching = desk.project.engine, str(free_port()), desk.window.printed.count(READY)
    local = desk.project.folder / ".env.local"
    local.write_text(local.read_text().replace(f"HOST_PORT={desk.project.settings['HOST_PORT']}", f"HOST_PORT={port}"))
    desk.project.settings["HOST_PORT"] = port
    desk.window.shows(READY, watching + 1)
    assert not answers(old)
    assert desk.cache_control == "no-store"


@pytest.mark.search
def test_an_engine_that_stops_is_said_once_and_when_it_is_back(desk: Desk) -> None:
    stopped, watching = desk.window.printed.count(STOPPED), desk.window.printed.count(READY)
    desk.project.kill()
    desk.window.shows(STOPPED, stopped + 1)
    desk.project.up()
    desk.window.shows("==> the engine is back")
    desk.window.shows(READY, watching + 1)
    assert desk.window.printed.count(STOPPED) == stopped + 1
    desk.save(HANDLER, '"no-store"', '"no-store, back"')
    until("the save is live", lambda: desk.cache_control == "no-store, back", look_every=EVERY)


@pytest.mark.search
def test_an_engine_that_was_killed_is_started_by_the_next_save(desk: Desk) -> None:
    stopped, watching = desk.window.printed.count(STOPPED), desk.window.printed.count(READY)
    desk.project.kill()
    desk.window.shows(STOPPED, stopped + 1)
    desk.save(HANDLER, '"no-store"', '"no-store, started"')
    desk.window.shows(READY, watching + 1)
    assert desk.cache_control == "no-store, started"


@pytest.mark.search
def test_a_build_that_fails_while_it_watches_is_fixed_by_a_save(desk: Desk) -> None:
    """A handler that answers wrongly is live at once; the probe of the next full build finds that."""
    waiting, ready = desk.window.printed.count(WAITING), desk.window.printed.count(READY)
    desk.save(HANDLER, "    find = peek", '    raise KeyError("x")\n    find = peek')
    with desk.stack.http() as client:
        until("the error is live", lambda: client.get("/r/mine").status_code == 500, look_every=EVERY)
    definition = desk.project.folder / "stack/definition.py"
    definition.write_text(f"{definition.read_text()}# edited\n")
    desk.window.shows(WAITING, waiting + 1)
    assert not (desk.project.outputs / "api_id").exists()
    assert desk.project.run("scripts/status.sh").returncode == 1
    desk.save(HANDLER, '    raise KeyError("x")\n', "")
    desk.window.shows(READY, ready + 1)
    assert desk.cache_control == "no-store"
    desk.project.check("scripts/status.sh")


def test_a_second_one_for_the_same_stack_is_refused(desk: Desk) -> None:
    done = desk.project.run("scripts/dev.sh")
    assert done.returncode == 1
    assert done.stderr == "error: scripts/dev.sh is running for this stack already: use that one, or end it first\n"
    assert desk.cache_control == "no-store"


def write(file: str, old: str, new: str) -> Callable[[Project], Callable[[], object]]:
    """Return an edit of a project, which returns how to take it back."""

    def edit(project: Project) -> Callable[[], object]:
        path = project.folder / file
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new))
        return partial(path.write_text, before)

    return edit


@pytest.mark.search
@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (
            write("lambdas/redirect/handler.py", "    find = peek", "    find = = peek"),
            "error: lambdas/redirect/handler.py, line 15: invalid syntax",
        ),
        (
            write("lambdas/redirect/handler.py", "import Any\n", "import Any\nimport no_such_module\n"),
            "No module named 'no_such_module'",
        ),
        (
            write("lambdas/redirect/handler.py", "    find = peek", '    raise KeyError("x")\n    find = peek'),
            "/r/__deployment-probe__ answered 500",
        ),
        (
            write("stack/definition.py", '"GET /r/{code}"', '"GET r"'),
            ": 'GET r' cannot be a route",
        ),
        (
            write("stack/definition.py", "    functions=(", "    functions=(()"),
            "definition.py",
        ),
        (
            write(".env", "LOG_LEVEL=INFO", "LOG_LEVEL=LOUD"),
            "error: LOG_LEVEL is 'LOUD'",
        ),
        (
            write(".env", "LOG_LEVEL=INFO", "LOG LEVEL"),
            "error: .env, line ",
        ),
    ],
    ids=["syntax", "import", "request", "route", "definition", "setting", "env"],
)  # fmt: skip
def test_it_starts_with_a_slip_and_a_save_of_the_fix_is_enough(
    project: Project, slip: Callable[[Project], Callable[[], object]], said: str
) -> None:
    fix = slip(project)
    with session(project, "scripts/dev.sh") as window:
        window.shows(WAITING)
        assert said in window.printed
        assert project.run("scripts/status.sh").returncode == 1
        fix()
        window.shows(READY)
        project.check("scripts/status.sh")
        assert project.stack.shorten(LINK).status_code == 201
        assert window.interrupt() == 0
    assert not answers(project.engine)


# The moment that is looked at daily is the first one when the build's own engine has to be stopped too.
STARTED = "an engine"
MOMENTS = ["", STARTED, "==> table", "API         shortener", "==> ready in", READY]
DAILY = (STARTED, signal.SIGTERM)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param(*one, marks=[] if one == DAILY else pytest.mark.search)
        for one in itertools.product(MOMENTS, [signal.SIGINT, signal.SIGTERM])
    ],
)
def test_an_interruption_at_any_moment_stops_what_it_started(
    project: Project, moment: str, number: signal.Signals
) -> None:
    with session(project, "scripts/dev.sh") as window:
        if moment == STARTED:
            until("an engine starts", StateDir(project.state).running, look_every=0.01)
        else:
            window.shows(moment)
        window.process.send_signal(number)
        window.process.wait(60)
    assert "Traceback" not in window.printed
    assert StateDir(project.state).running() is None
    assert not answers(project.engine)
    assert not (project.outputs / "api_id").exists()
