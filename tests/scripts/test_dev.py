"""scripts/dev.sh: what is saved is live, what is broken is not, and Ctrl-C leaves everything as it was."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from project import Project, answers, until
from session import Session, session

READY = "watching lambdas/ and stack/"
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
        """What the redirect function says, which each test changes."""
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
    until("the edit is live", lambda: desk.cache_control == "no-store, edited")
    desk.window.shows("==> saved: lambdas/redirect/handler.py")
    after = desk.modified()
    assert {name for name in after if after[name] != before[name]} == {"redirect"}


def test_a_save_of_common_code_redeploys_all_that_have_it(desk: Desk) -> None:
    for old, new in (('"""Read', '"""  Read'), ('"""  Read', '"""Read')):
        before = desk.modified()
        desk.save("lambdas/common/links.py", old, new)
        until("all are redeployed", lambda: all(desk.modified()[name] != before[name] for name in before))  # noqa: B023


def test_a_syntax_error_is_named_with_its_line_and_the_version_before_serves(desk: Desk) -> None:
    before = desk.modified()
    desk.save("lambdas/redirect/handler.py", "    find = peek", "    find = = peek")
    desk.window.shows("error: lambdas/redirect/handler.py, line 14: invalid syntax")
    assert desk.cache_control == "no-store"
    assert desk.modified() == before
    desk.save("lambdas/redirect/handler.py", "    find = = peek", "    find = peek")
    desk.window.shows("nothing to redeploy: that is what serves")


def test_code_that_does_not_load_is_named_and_the_version_before_is_put_back(desk: Desk) -> None:
    desk.save("lambdas/redirect/handler.py", "import Any\n", "import Any\nimport no_such_module\n")
    desk.window.shows("No module named 'no_such_module'")
    assert desk.cache_control == "no-store"


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
    desk.window.shows("KeyError: 'x' at handler.py:14")


def test_a_new_function_is_picked_up_with_its_route_and_described(desk: Desk) -> None:
    folder = desk.project.folder / "lambdas/twin"
    shutil.copytree(desk.project.folder / "lambdas/redirect", folder)
    desk.window.shows("lambdas/twin/ has no entry in stack/definition.py yet")
    entry = '        Function("twin", (Route("GET /twin/{code}"),), reads=("shortlinks",), writes=("shortlinks",)),\n'
    last = "    ),\n    api="
    document = desk.project.folder / "openapi.yaml"
    described = document.read_text()
    desk.save("stack/definition.py", last, f"{entry}{last}")
    desk.window.shows("openapi.yaml: described GET /twin/{code}")
    with desk.stack.http() as client:
        assert client.get("/twin/mine").status_code == 302
    desk.window.shows(READY, 2)
    desk.save("lambdas/twin/handler.py", '"no-store"', '"no-store, twin"')
    with desk.stack.http() as client:
        until("the twin's edit is live", lambda: "twin" in client.get("/twin/mine").headers.get("cache-control", ""))
    desk.save("stack/definition.py", entry, "")
    desk.window.shows("openapi.yaml: took out GET /twin/{code}")
    desk.window.shows(READY, 3)
    shutil.rmtree(folder)
    document.write_text(described)


def test_a_definition_that_cannot_be_is_said_and_the_watch_goes_on(desk: Desk) -> None:
    watching = desk.window.printed.count(READY)
    desk.save("stack/definition.py", '"GET /r/{code}"', '"GET r"')
    desk.window.shows(": 'GET r' cannot be a route")
    assert desk.cache_control == "no-store"
    desk.save("stack/definition.py", '"GET r"', '"GET /r/{code}"')
    desk.window.shows(READY, watching + 1)


def test_ctrl_c_stops_what_it_started(project: Project) -> None:
    with session(project, "scripts/dev.sh") as window:
        window.shows(READY)
        assert window.interrupt() == 0
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


def test_an_engine_that_goes_away_ends_it_with_one_line(project: Project) -> None:
    project.up()
    with session(project, "scripts/dev.sh") as window:
        window.shows(READY)
        project.down()
        assert window.process.wait(60) == 1
    assert f"error: nothing answers at {project.engine}/: start the engine first (scripts/up.sh)" in window.printed
    assert "Traceback" not in window.printed


def test_a_stack_that_cannot_be_built_ends_it(project: Project, tmp_path: Path) -> None:
    (project.folder / "lambdas/redirect/handler.py").write_text("def handler(:\n")
    with session(project, "scripts/dev.sh") as window:
        assert window.process.wait(60) == 1
    assert "lambdas/redirect/handler.py, line 1: invalid syntax" in window.printed
    assert not answers(project.engine)


def test_a_save_that_comes_as_soon_as_it_watches_is_live_too(project: Project) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    with session(project, "scripts/dev.sh") as window:
        window.shows("The API is up")  # it is not watching yet
        handler.write_text(handler.read_text().replace('"no-store"', '"no-store, early"'))
        assert project.stack.shorten(LINK).status_code == 201
        until("the edit is live", lambda: "early" in project.stack.follow("mine").headers.get("cache-control", ""))
        window.shows(READY)
    assert "Traceback" not in window.printed
