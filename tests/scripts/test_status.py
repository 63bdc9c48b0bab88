"""scripts/status.sh and scripts/logs.sh: what is up, what is stale, and what the functions say."""

import re
from collections.abc import Iterator

import pytest

from project import Project
from session import session


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack that is up, with two links and three clicks."""
    with Project.standing(tmp_path_factory.mktemp("status")) as project:
        for code, clicks in (("one", 1), ("two", 2)):
            project.stack.shorten({"long_url": "https://example.com/", "code": code})
            for _ in range(clicks):
                project.stack.follow(code)
        yield project


def test_it_says_what_is_up(up: Project) -> None:
    printed = up.check("scripts/status.sh")
    assert re.search(rf"^engine    MiniStack [\d.]+, embedded, process {up.pid()}, {up.engine}$", printed, re.MULTILINE)
    assert "state     healthy: the API answers\n" in printed
    assert f"API       {up.stack.api_id}  {up.stack.url}\n" in printed
    for name in ("shorten", "redirect", "authorizer"):
        assert re.search(rf"^function  {name} +live   deployed \d+ (s|min) ago, sha256 ", printed, re.MULTILINE)
    assert "links     2, with 3 clicks\n" in printed
    assert "errors    none in the last 24 hours\n" in printed


def test_it_says_which_function_is_not_the_working_trees(up: Project) -> None:
    handler = up.folder / "lambdas/redirect/handler.py"
    before = handler.read_text()
    for edit, said in (
        (f"{before}# edited\n", r"ago, sha256 \S+, the working tree has \S+ \(scripts/up.sh deploys it\)"),
        (f"{before}def f(:\n", r"ago, sha256 \S+ \(lambdas/redirect/handler.py, line \d+: invalid syntax\)"),
    ):
        handler.write_text(edit)
        printed = up.check("scripts/status.sh")
        assert re.search(rf"^function  redirect    stale  deployed .*{said}$", printed, re.MULTILINE)
        assert len(re.findall(r"^function .* live ", printed, re.MULTILINE)) == 2
    handler.write_text(before)


def test_a_function_or_a_table_that_is_gone_is_said_to_be(project: Project) -> None:
    stack = project.up()
    stack.client("lambda").delete_function(FunctionName="shorten")
    stack.client("dynamodb").delete_table(TableName="shortlinks")
    done = project.run("scripts/status.sh")
    assert "function  shorten     missing: scripts/up.sh deploys it\n" in done.stdout
    assert "links     none: the table shortlinks is missing\n" in done.stdout
    assert done.stderr == ""


def test_the_last_errors_are_in_it(project: Project) -> None:
    links = project.folder / "lambdas/common/links.py"
    links.write_text(links.read_text().replace("def peek", 'def peek(code):\n    raise KeyError("x")\n\n\ndef unused'))
    stack = project.up()
    stack.shorten({"long_url": "https://example.com/", "code": "mine"})
    with stack.http() as client:
        assert client.head("/r/mine").status_code == 500
    printed = project.check("scripts/status.sh")
    assert len(re.findall("^errors ", printed, re.MULTILINE)) == 1
    assert re.search(
        r"^errors    \S+  redirect +HEAD /r/\{code\} +500 .* KeyError: 'x' at common/links.py:\d+$",
        printed,
        re.MULTILINE,
    )


def test_without_a_stack_it_says_so_and_how_to_get_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = Project.copy(tmp_path_factory.mktemp("bare"))
    done = bare.run("scripts/status.sh")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"state     down: nothing answers at {bare.engine} (scripts/up.sh starts it)\n"


def test_a_failed_build_is_not_healthy(project: Project) -> None:
    (project.folder / "lambdas/redirect/handler.py").write_text("def handler(:\n")
    assert project.run("scripts/up.sh").returncode == 1
    done = project.run("scripts/status.sh")
    assert done.returncode == 1
    assert "state     not healthy: the stack could not be built: the engine's log says why\n" in done.stdout
    assert "function  redirect    missing" in done.stdout


def test_logs_follow_one_function(up: Project) -> None:
    with session(up, "scripts/logs.sh", "redirect") as window:
        window.shows("redirect   GET /r/{code}     302", times=3)
        up.stack.follow("unknown")
        window.shows("redirect   GET /r/{code}     404")
        assert window.interrupt() == 0
    assert "shorten" not in window.printed
    assert "Traceback" not in window.printed


def test_logs_refuse_a_function_that_there_is_not(up: Project) -> None:
    done = up.run("scripts/logs.sh", "redirekt")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: there is no function 'redirekt': shorten, redirect, authorizer\n"


def test_logs_without_a_stack_say_how_to_get_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = Project.copy(tmp_path_factory.mktemp("bare"))
    done = bare.run("scripts/logs.sh")
    assert done.returncode == 1
    assert done.stderr == f"error: nothing answers at {bare.engine}: start the engine first (scripts/up.sh)\n"
