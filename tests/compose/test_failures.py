"""A stack that cannot be built makes the container unhealthy at once, and one plain line says why."""

import re
import shutil
import socket
from collections.abc import Callable

import pytest

from containers import LOOK_EVERY, PROMPT, SERVICE, Containers, last_error
from project import until

pytestmark = pytest.mark.compose
LAST_LINES = 15


def syntax_error(project: Containers) -> str:
    handler = project.folder / "lambdas/redirect/handler.py"
    handler.write_text("def handler(:\n")
    return "error: lambdas/redirect/handler.py, line 1: invalid syntax"


def missing_function(project: Containers) -> str:
    shutil.rmtree(project.folder / "lambdas/redirect")
    return "error: lambdas/redirect/handler.py is missing: a function's code has to be there"


def read_only_outputs(project: Containers) -> str:
    (project.folder / "docker-compose.override.yml").write_text(f"""
services:
  {SERVICE}:
    volumes: [{{type: bind, source: "${{OUTPUTS_DIR}}", target: /outputs, read_only: true}}]
""")
    return "error: the outputs folder /outputs cannot be written to (Read-only file system): make it a folder"


def is_unhealthy(project: Containers, reason: str) -> None:
    done = project.docker("compose", "up", "--wait", patience=PROMPT)
    assert done.returncode == 1
    assert "unhealthy" in done.stderr
    assert project.health == "unhealthy"
    assert last_error("\n".join(project.log().splitlines()[-LAST_LINES:])).startswith(reason)


@pytest.mark.search
@pytest.mark.parametrize("breakage", [missing_function, read_only_outputs])
def test_a_stack_that_cannot_be_built_is_unhealthy_and_says_why(
    project: Containers, breakage: Callable[[Containers], str]
) -> None:
    is_unhealthy(project, breakage(project))
    assert not project.published


def test_up_says_what_is_broken_and_brings_up_what_is_fixed_until_it_breaks_again(project: Containers) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    source = handler.read_text()
    reason = syntax_error(project)
    done = project.run("scripts/up.sh")
    assert done.returncode == 1
    assert last_error(done.stdout + done.stderr)
    assert reason in done.stdout + done.stderr
    assert project.health == "unhealthy"
    assert not project.published
    assert project.log().count("redirect/handler.py") == project.log().count(reason) == 1
    status = project.run("scripts/status.sh").stdout
    assert f"redirect    missing: {reason.removeprefix('error: ')}\n" in status
    assert "links       missing: scripts/up.sh deploys it\n" in status
    handler.write_text(source)
    assert project.up().follow("unknown").json() == {"error": "not found"}
    until("the health check has seen it", lambda: project.health == "healthy", look_every=LOOK_EVERY)

    project.compose("stop")
    reason = missing_function(project)
    is_unhealthy(project, reason)
    assert not project.published

    handler.parent.mkdir()
    handler.write_text(source)
    is_unhealthy(project, read_only_outputs(project))


def test_what_is_missing_is_refused_before_anything_runs(project: Containers) -> None:
    missing = [*(project.folder / name for name in ("lambdas", "init", "stack")), project.outputs]
    for folder in missing:
        aside = folder.rename(folder.with_name("aside"))
        done = project.docker("compose", "up", "--wait", patience=PROMPT)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(("Error", "error"))]
        assert f"{folder}" in line
        assert not folder.exists()
        aside.rename(folder)


def test_a_busy_port_is_named_with_a_way_out(project: Containers) -> None:
    port = project.settings["HOST_PORT"]
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", int(port)))
        busy.listen()
        done = project.run("scripts/up.sh")
    assert done.returncode == 1
    (line,) = re.findall(r"^error: .*", done.stderr, re.MULTILINE)
    assert port in line
    assert "HOST_PORT=" in line
