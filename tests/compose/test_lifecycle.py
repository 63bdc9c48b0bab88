"""Start, stop and wipe the stack in Docker with scripts/up.sh and scripts/down.sh: what they say is so."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from containers import Containers
from project import DEFAULTS, Project, Stack, answers, until
from session import session
from stack.commands.engines import Engines
from stack.engine.folder import StateDir

pytestmark = pytest.mark.compose
KILLED = str(128 + signal.SIGKILL)
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


def up_in_two_windows(project: Containers) -> list[str]:
    """Run scripts/up.sh twice at once, and return what the two printed."""
    with ThreadPoolExecutor(2) as windows:
        return [*windows.map(lambda _: project.check("scripts/up.sh", ENGINE=""), range(2))]


def test_up_down_and_wipe_are_the_stack_in_docker(project: Containers) -> None:
    project.outputs.rmdir()  # up.sh makes it
    for printed in up_in_two_windows(project):
        assert re.match(r"==> \S*ministack:\S+ in Docker \(a Docker engine answers\)\n", printed)
    works(project).shorten(LINK)
    assert "==> the engine's container is gone\n" in project.check("scripts/down.sh")
    assert project.container == ""
    assert not project.published
    assert has_volume(project)
    elsewhere = project.check("scripts/down.sh", "--wipe", ENGINE="embedded")
    assert elsewhere == "==> there was no data to wipe with ENGINE=embedded\n==> down\n"
    assert project.up().follow("kept").status_code == HTTPStatus.FOUND

    image = project.inspect("{{.Config.Image}}")
    reader = f"reader-{project.settings['HOST_PORT']}"
    project.docker("create", "--name", reader, "--volume", f"{volume(project)}:/state", image)
    try:
        done = project.run("scripts/down.sh", "--wipe")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "is removed" not in done.stdout
        assert has_volume(project)
    finally:
        project.docker("rm", "--force", reader)
    printed = project.check("scripts/down.sh", "--wipe", ENGINE="")
    assert f"==> the Docker volume {volume(project)} is removed, with its links\n" in printed
    assert not has_volume(project)
    for engine, limited in (("docker", " with ENGINE=docker"), ("", "")):
        printed = project.check("scripts/down.sh", "--wipe", ENGINE=engine)
        assert printed == f"==> there was no data to wipe{limited}\n==> down\n"
    with pytest.raises(httpx.ConnectError):
        httpx.get(project.engine)


def test_without_an_answer_from_docker_a_running_stack_is_not_called_down(shared: Containers, code: str) -> None:
    for arguments in ((), ("--wipe",)):
        printed = shared.check("scripts/down.sh", *arguments, DOCKER_HOST="tcp://127.0.0.1:1")
        assert f"something still listens on port {shared.settings['HOST_PORT']}" in printed
        assert "==> down\n" not in printed
    assert shared.published
    assert shared.stack.shorten({**LINK, "code": code}).status_code == HTTPStatus.CREATED


def test_an_image_that_cannot_be_pulled_is_named_with_the_way_out(project: Containers) -> None:
    done = project.run("scripts/up.sh", MINISTACK_IMAGE="127.0.0.1:1/ministack:none")
    assert done.returncode == 1
    assert done.stdout.startswith("==> 127.0.0.1:1/ministack:none in Docker (ENGINE=docker)\n")
    assert re.fullmatch(
        r"error: the image 127\.0\.0\.1:1/ministack:none could not be pulled .*ENGINE=embedded scripts/up.sh.*",
        done.stderr.splitlines()[-1],
    )
    assert project.container == ""


def test_the_embedded_engine_is_kept_while_it_runs(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    state = StateDir(project.state)
    state.claim()
    with state.lock() as engine:  # as an engine that runs has it
        os.write(engine, f"{os.getpid()} {project.settings['HOST_PORT']}\n".encode())
        name, why = Engines.from_environment({**DEFAULTS, **project.settings, "ENGINE": ""}).choose()
        assert (name, why.partition(", ")[2]) == ("embedded", "embedded (it is running)")
        done = project.run("scripts/up.sh", ENGINE="docker")
    assert done.returncode == 1
    assert done.stderr == (
        "error: the embedded engine of this STATE_DIR is running: stop it first, with scripts/down.sh\n"
    )


def cut_short(project: Containers, moment: str, ending: str) -> None:
    """Run scripts/up.sh, and end the container or the script when a hook runs."""
    seen = project.log().count(f"==> running {moment}")
    with session(project, "scripts/up.sh") as window:
        until(f"{moment} runs", lambda: project.log().count(f"==> running {moment}") > seen)
        if ending == "Ctrl-C":
            assert window.interrupt() != 0
            assert "==> the engine may go on starting in Docker: scripts/down.sh stops it\n" in window.printed
        else:
            project.compose(*ending.split())
    assert "Traceback" not in window.printed
    if ending.startswith("restart"):
        assert project.wait_until_judged() == "healthy"
        works(project)


@pytest.mark.parametrize(
    "cuts",
    [
        [("02-part2-dynamodb.sh", "stop"), ("04-part4-api.sh", "restart"), ("02-part2-dynamodb.sh", "Ctrl-C")],
        *(
            pytest.param([(moment, ending)], marks=pytest.mark.search)
            for moment in ("02-part2-dynamodb.sh", "04-part4-api.sh")
            for ending in ("restart", "restart --timeout 0", "stop", "Ctrl-C")
        ),
    ],
    ids=lambda cuts: ", ".join(f"{moment[:2]} {ending}" for moment, ending in cuts),
)
def test_a_build_that_is_cut_short_is_followed_by_one_that_works(
    project: Containers, cuts: list[tuple[str, str]]
) -> None:
    project.compose("up", "--detach")
    project.compose("stop", "--timeout", "20")
    assert project.inspect("{{.State.ExitCode}}") != KILLED, "the stop was not heard"
    for number, (moment, ending) in enumerate(cuts):
        if number:
            project.compose("stop")
        cut_short(project, moment, ending)
    project.up()
    works(project)
    project.down()
    assert not answers(project.engine)
    assert not project.published
