"""Start, stop and wipe the stack in Docker with scripts/up.sh and scripts/down.sh: what they say is so."""

import re
import subprocess
import threading
from http import HTTPStatus
from pathlib import Path

import pytest

from containers import SERVICE, Containers
from project import Project, Stack, answers, until
from session import session

pytestmark = pytest.mark.compose
LINK = {"long_url": "https://example.com/", "code": "kept"}


def volume(project: Containers) -> str:
    return f"shortener-{project.settings['HOST_PORT']}_state"


def has_volume(project: Containers) -> bool:
    return project.docker("volume", "inspect", volume(project)).returncode == 0


def works(project: Containers) -> Stack:
    stack = project.stack
    code = f"code-{len(stack.client('dynamodb').scan(TableName='shortlinks')['Items'])}"
    assert stack.shorten({**LINK, "code": code}).status_code == HTTPStatus.CREATED
    assert stack.follow(code).status_code == HTTPStatus.FOUND
    return stack


@pytest.mark.parametrize("engine", ["docker", ""])
def test_a_wipe_after_a_stop_removes_the_volume(project: Containers, engine: str) -> None:
    project.up().shorten(LINK)
    assert "==> the engine's container is gone\n" in project.check("scripts/down.sh")
    assert has_volume(project)
    elsewhere = project.check("scripts/down.sh", "--wipe", ENGINE="embedded")
    assert elsewhere == "==> there was no data to wipe with ENGINE=embedded\n==> down\n"
    assert has_volume(project)
    printed = project.check("scripts/down.sh", "--wipe", ENGINE=engine)
    assert f"==> the Docker volume {volume(project)} is removed, with its links\n" in printed
    assert not has_volume(project)
    printed = project.check("scripts/down.sh", "--wipe", ENGINE=engine)
    limited = f" with ENGINE={engine}" if engine else ""
    assert printed == f"==> there was no data to wipe{limited}\n==> down\n"


def test_a_wipe_says_so_when_another_container_keeps_the_volume(project: Containers) -> None:
    project.up()
    image = project.inspect("{{.Config.Image}}")
    name = f"reader-{project.settings['HOST_PORT']}"
    project.docker("create", "--name", name, "--volume", f"{volume(project)}:/state", image)
    try:
        done = project.run("scripts/down.sh", "--wipe")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "is removed" not in done.stdout
        assert has_volume(project)
    finally:
        project.docker("rm", "--force", name)
    project.down("--wipe")
    assert not has_volume(project)


def test_without_an_answer_from_docker_a_running_stack_is_not_called_down(project: Containers) -> None:
    project.up()
    for arguments in ((), ("--wipe",)):
        printed = project.check("scripts/down.sh", *arguments, DOCKER_HOST="tcp://127.0.0.1:1")
        assert f"something still listens on port {project.settings['HOST_PORT']}" in printed
        assert "==> down\n" not in printed
    works(project)
    assert project.published


def test_an_image_that_cannot_be_pulled_is_named_with_the_way_out(project: Containers) -> None:
    done = project.run("scripts/up.sh", MINISTACK_IMAGE="127.0.0.1:1/ministack:none")
    assert done.returncode == 1
    assert done.stdout.startswith("==> 127.0.0.1:1/ministack:none in Docker (ENGINE=docker)\n")
    assert re.fullmatch(
        r"error: the image 127\.0\.0\.1:1/ministack:none could not be pulled .*ENGINE=embedded scripts/up.sh.*",
        done.stderr.splitlines()[-1],
    )
    assert project.container == ""


def test_up_says_that_it_uses_docker_and_why(project: Containers) -> None:
    first = project.check("scripts/up.sh", ENGINE="").splitlines()[0]
    assert re.fullmatch(r"==> \S*ministack:\S+ in Docker \(a Docker engine answers\)", first)


def test_the_embedded_engine_is_kept_while_it_runs(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    project.up()
    try:
        printed = project.check("scripts/up.sh", ENGINE="")
        assert printed.splitlines()[0].endswith(", embedded (it is running)")
        done = project.run("scripts/up.sh", ENGINE="docker")
        assert done.returncode == 1
        assert done.stderr == (
            "error: the embedded engine of this STATE_DIR is running: stop it first, with scripts/down.sh\n"
        )
    finally:
        project.down("--wipe")


def test_two_at_once_start_one_stack(project: Containers) -> None:
    windows: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: windows.append(project.run("scripts/up.sh"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in windows] == [0, 0], windows
    works(project)


@pytest.mark.parametrize("moment", ["02-part2-dynamodb.sh", "04-part4-api.sh"])
@pytest.mark.parametrize("ending", ["restart", "restart --timeout 0", "stop", "Ctrl-C"])
def test_a_build_that_is_cut_short_is_followed_by_one_that_works(project: Containers, moment: str, ending: str) -> None:
    with session(project, "scripts/up.sh") as window:
        until("the container is there", lambda: project.docker("compose", "ps", "--quiet", SERVICE).stdout.strip())
        until(f"{moment} runs", lambda: f"==> running {moment}" in project.log())
        if ending == "Ctrl-C":
            assert window.interrupt() != 0
            assert "==> the engine may go on starting in Docker: scripts/down.sh stops it\n" in window.printed
        else:
            project.compose(*ending.split())
    assert "Traceback" not in window.printed
    if ending.startswith("restart"):
        assert project.wait_until_judged() == "healthy"
        works(project)
    project.up()
    works(project)
    project.down()
    assert not answers(project.engine)
    assert not project.published
