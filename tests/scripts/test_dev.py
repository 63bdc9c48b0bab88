"""scripts/dev.sh: what is saved is live, what is broken is not, and Ctrl-C leaves everything as it was."""

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from project import DEFAULTS, Project, Stack, answers, free_port, until
from session import Session, session

READY = "==> watching lambdas/, stack/ and .env"
WAITING = "==> waiting for a save that fixes this"
LINK = {"long_url": "https://example.com/", "code": "mine"}


class Desk:
    """A project with dev.sh running, and an editor."""

    def __init__(self, project: Project, window: Session) -> None:
        self.project, self.window = project, window
        self.stack = project.stack

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
        """Read the redirect function says, which each test changes."""
        value: str = self.stack.follow("mine").headers.get("cache-control", "")
        return value

    def modified(self) -> dict[str, str]:
        functions = self.stack.client("lambda").list_functions()["Functions"]
        return {one["FunctionName"]: one["LastModified"] for one in functions}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    project = Project.copy(tmp_path_factory.mktemp("desk"))
    with session(project, "scripts/dev.sh") as window:
        window.shows(READY)
        desk = Desk(project, window)
        assert desk.stack.shorten(LINK).status_code == 201
        yield desk


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """The sources are as they were, and serve, after each test."""
    if "desk" not in request.fixturenames:
        yield
        return
    desk: Desk = request.getfixturevalue("desk")
    handler = desk.project.folder / "lambdas/redirect/handler.py"
    before = handler.read_text()
    yield
    if handler.read_text() != before:
        handler.write_text(before)
    until("the code before serves", lambda: desk.cache_control == "no-store")


def test_a_save_is_live_and_no_other_function_is_touched(desk: Desk) -> None:
    before = desk.modified()
    desk.save("lambdas/redirect/handler.py", '"no-store"', '"no-store, edited"')
    desk.window.shows("==> saved: lambdas/redirect/handler.py")
    desk.window.shows("  function    redirect               updated ")
    assert desk.cache_control == "no-store, edited"
    after = desk.modified()
    assert {name for name in after if after[name] != before[name]} == {"redirect"}


def test_a_save_of_common_code_redeploys_all_that_have_it(desk: Desk) -> None:
    for old, new in (('"""Read', '"""  Read'), ('"""  Read', '"""Read')):
        before = desk.modified()
        desk.save("lambdas/common/links.py", old, new)
        until("all are redeployed", lambda: all(desk.modified()[name] != before[name] for name in before))  # noqa: B023


def test_a_save_of_the_pages_style_is_live(desk: Desk) -> None:
    def page() -> str:
        with desk.stack.http() as client:
            return client.get("/").text

    before = page()
    for old, new in (("max-width: 46rem", "max-width: 47rem"), ("max-width: 47rem", "max-width: 46rem")):
        desk.save("lambdas/page/style.css", old, new)
        until("the edit is live", lambda: new in page())  # noqa: B023
    assert page() == before


def test_a_syntax_error_is_named_with_its_line_and_the_previous_version_serves(desk: Desk) -> None:
    before = desk.modified()
    desk.save("lambdas/redirect/handler.py", "    find = peek", "    find = = peek")
    desk.window.shows("error: lambdas/redirect/handler.py, line 15: invalid syntax (the previous version serves)")
    assert desk.cache_control == "no-store"
    assert desk.modified() == before
    desk.save("lambdas/redirect/handler.py", "    find = = peek", "    find = peek")
    desk.window.shows("nothing to redeploy: that is what serves")


def test_code_that_does_not_load_is_named_and_the_previous_version_is_put_back(desk: Desk) -> None:
    desk.save("lambdas/redirect/handler.py", "import Any\n", "import Any\nimport no_such_module\n")
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
    until("the last save is live", lambda: desk.cache_control == "no-store, 199")


def test_each_request_is_a_line_and_a_print_is_shown_too(desk: Desk) -> None:
    desk.save("lambdas/redirect/handler.py", "    find = peek", '    print("hello from", code)\n    find = peek')
    until("the edit is live", lambda: desk.cache_control and "hello from mine" in desk.window.printed)
    request = "shorten    POST /shorten     201"
    before = desk.window.printed.count(request)
    for number in range(3):
        desk.stack.shorten({**LINK, "code": f"line-{number}"})
    desk.window.shows(request, times=before + 3)
    lines = [line for line in desk.window.printed.splitlines() if request in line]
    assert len(lines) == len(set(lines)) == before + 3
    assert all(re.fullmatch(rf"\d\d:\d\d:\d\d  {request} +\d+\.\d ms  [\w-]+", line) for line in lines)
    assert "START RequestId" not in desk.window.printed


def test_an_error_in_a_function_is_a_line_with_its_type_and_place(desk: Desk) -> None:
    desk.save("lambdas/redirect/handler.py", "    find = peek", '    raise KeyError("x")\n    find = peek')
    until("the error is live", lambda: desk.stack.follow("mine").status_code == 500)
    desk.window.shows("KeyError: 'x' at lambdas/redirect/handler.py:15")


def test_a_new_function_is_picked_up_with_its_route_and_its_description_is_asked_for(desk: Desk) -> None:
    folder = desk.project.folder / "lambdas/twin"
    watching = desk.window.printed.count(READY)
    shutil.copytree(desk.project.folder / "lambdas/redirect", folder)
    desk.window.shows("lambdas/twin/ has no entry in stack/definition.py yet")
    entry = '        Function("twin", (Route("GET /twin/{code}"),), reads=("shortlinks",), writes=("shortlinks",)),\n'
    document = desk.project.folder / "openapi.yaml"
    described = document.read_text()
    desk.save("stack/definition.py", "    ),\n    api=", f"{entry}    ),\n    api=")
    desk.window.shows("openapi.yaml does not describe GET /twin/{code} yet")
    assert document.read_text() == described
    desk.window.shows(READY, watching + 1)
    with desk.stack.http() as client:
        assert client.get("/twin/mine").status_code == 302
    desk.save("lambdas/twin/handler.py", '"no-store"', '"no-store, twin"')
    with desk.stack.http() as client:
        until("the twin's edit is live", lambda: "twin" in client.get("/twin/mine").headers.get("cache-control", ""))
    desk.save("stack/definition.py", entry, "")
    desk.window.shows(READY, watching + 2)
    assert desk.window.printed.count("openapi.yaml does not describe") == 1
    shutil.rmtree(folder)


def test_a_definition_that_cannot_be_is_said_and_the_watch_goes_on(desk: Desk) -> None:
    watching = desk.window.printed.count(READY)
    desk.save("stack/definition.py", '"GET /r/{code}"', '"GET r"')
    desk.window.shows(": 'GET r' cannot be a route")
    desk.window.shows(WAITING)
    assert desk.cache_control == "no-store"
    desk.save("stack/definition.py", '"GET r"', '"GET /r/{code}"')
    desk.window.shows(READY, watching + 1)


def test_a_save_of_the_settings_has_effect(desk: Desk) -> None:
    local = desk.project.folder / ".env.local"
    secret = "another secret, of 32 bytes or more"
    for line, right in ((f"JWT_SECRET='{secret}'\n", secret), ("", DEFAULTS["JWT_SECRET"])):
        watching = desk.window.printed.count(READY)
        local.write_text(line)
        desk.window.shows(READY, watching + 1)
        stack = Stack(desk.stack.url, right)
        until("the new secret is the right one", lambda: stack.shorten({**LINK, "code": "taken"}).status_code != 403)  # noqa: B023
    local.unlink()
    desk.window.shows("==> removed: .env.local")


def test_a_setting_that_cannot_be_is_said_and_the_previous_version_serves(desk: Desk) -> None:
    local = desk.project.folder / ".env.local"
    waiting, ready = desk.window.printed.count(WAITING), desk.window.printed.count(READY)
    local.write_text("LOG_LEVEL=LOUD\n")
    desk.window.shows(WAITING, waiting + 1)
    assert "LOG_LEVEL is 'LOUD'" in desk.window.printed
    assert desk.cache_control == "no-store"
    local.write_text("LOG_LEVEL=DEBUG\n")
    desk.window.shows(READY, ready + 1)
    local.unlink()
    desk.window.shows(READY, ready + 2)


def test_a_build_that_fails_while_it_watches_is_fixed_by_a_save(desk: Desk) -> None:
    """A handler that answers wrongly is live at once; the probe of the next full build finds that."""
    waiting, ready = desk.window.printed.count(WAITING), desk.window.printed.count(READY)
    url = desk.stack.url
    desk.save("lambdas/redirect/handler.py", "    find = peek", '    raise KeyError("x")\n    find = peek')
    with Stack(url).http() as client:
        until("the error is live", lambda: client.get("/r/mine").status_code == 500)
    definition = desk.project.folder / "stack/definition.py"
    definition.write_text(f"{definition.read_text()}# edited\n")
    desk.window.shows(WAITING, waiting + 1)
    assert not (desk.project.outputs / "api_id").exists()
    assert desk.project.run("scripts/status.sh").returncode == 1
    desk.save("lambdas/redirect/handler.py", '    raise KeyError("x")\n', "")
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


@pytest.mark.parametrize("end", [Project.kill, Project.down], ids=["kill", "down"])
def test_an_engine_that_stops_is_said_once_and_started_by_a_save(
    project: Project, end: Callable[[Project], None]
) -> None:
    with session(project, "scripts/dev.sh") as window:
        window.shows(READY)
        end(project)
        window.shows("error: the engine has stopped: the next save, or scripts/up.sh, starts it again")
        assert window.printed.count("error: ") == 1
        handler = project.folder / "lambdas/redirect/handler.py"
        handler.write_text(handler.read_text().replace('"no-store"', '"no-store, edited"'))
        window.shows(READY, 2)
        assert project.stack.shorten(LINK).status_code == 201
        assert project.stack.follow("mine").headers["cache-control"] == "no-store, edited"
        project.down()
        window.shows("error: the engine has stopped", 2)
        project.up()
        window.shows("==> the engine is back")
        window.shows(READY, 3)
        assert window.interrupt() == 0
    assert "Traceback" not in window.printed
    assert not answers(project.engine)


def test_a_changed_port_moves_the_stack(project: Project) -> None:
    ports = [project.settings["HOST_PORT"], str(free_port())]
    local = project.folder / ".env.local"
    local.write_text(f"HOST_PORT={ports[0]}\n")
    typed = replace(project, settings={name: value for name, value in project.settings.items() if name != "HOST_PORT"})
    with session(typed, "scripts/dev.sh") as window:
        window.shows(READY)
        assert project.stack.shorten(LINK).status_code == 201
        local.write_text(f"HOST_PORT={ports[1]}\n")
        window.shows(READY, 2)
        assert f":{ports[1]}/" in project.stack.url
        assert project.stack.follow("mine").status_code == 302
        assert not answers(project.engine)
        assert window.interrupt() == 0
    assert not answers(f"http://127.0.0.1:{ports[1]}")


@pytest.mark.parametrize("moment", ["", "==> table", "API         shortener", "==> ready in", READY])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_at_any_moment_stops_what_it_started(
    project: Project, moment: str, number: signal.Signals
) -> None:
    with session(project, "scripts/dev.sh") as window:
        window.shows(moment)
        window.process.send_signal(number)
        window.process.wait(60)
    assert "Traceback" not in window.printed
    assert not answers(project.engine)
    assert not (project.outputs / "api_id").exists()


def test_ctrl_c_stops_what_it_started(project: Project) -> None:
    with session(project, "scripts/dev.sh") as window:
        window.shows(READY)
        assert window.interrupt() == 0
    assert window.printed.count("==> ready in") == 1
    assert "Next: " not in window.printed
    assert window.printed.endswith("==> the engine has stopped\n==> down\n")
    assert "Traceback" not in window.printed
    assert not answers(project.engine)
    assert not (project.outputs / "api_url").exists()


def test_ctrl_c_leaves_what_was_up(project: Project) -> None:
    stack = project.up()
    with session(project, "scripts/dev.sh") as window:
        window.shows(READY)
        assert window.interrupt() == 0
    assert window.printed.endswith("==> the stack is left running, as it was: scripts/down.sh stops it\n")
    assert stack.shorten(LINK).status_code == 201


def test_a_save_that_comes_as_soon_as_it_watches_is_live_too(project: Project) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    with session(project, "scripts/dev.sh") as window:
        window.shows("==> ready in")  # it is not watching yet
        handler.write_text(handler.read_text().replace('"no-store"', '"no-store, early"'))
        assert project.stack.shorten(LINK).status_code == 201
        until("the edit is live", lambda: "early" in project.stack.follow("mine").headers.get("cache-control", ""))
        window.shows(READY)
    assert "Traceback" not in window.printed
