"""The wrapper around MiniStack in a container: what holds without Docker holds there."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from containers import SERVICE, Containers, last_error
from project import until

LINK = {"long_url": "https://example.com/", "code": "kept"}

pytestmark = pytest.mark.compose


def test_a_burst_right_after_the_start_is_answered(project: Containers) -> None:
    project.compose_up()
    stack = project.stack
    with stack.http() as client, ThreadPoolExecutor(100) as pool:
        statuses = Counter(pool.map(lambda _: client.get("/r/none").status_code, range(300)))
    assert statuses == {404: 300}


def test_a_killed_container_loses_nothing(project: Containers) -> None:
    project.compose_up()
    before = project.stack
    for number in range(20):
        assert before.shorten({**LINK, "code": f"kept-{number}"}).status_code == 201
        assert before.follow(f"kept-{number}").status_code == 302
    project.kill_container()
    project.compose_up()
    assert project.stack.url == before.url
    assert [project.stack.clicks(f"kept-{number}") for number in range(20)] == [1] * 20


def test_damaged_state_stops_the_start_and_what_can_be_read_is_kept(project: Containers) -> None:
    project.compose_up()
    assert project.stack.shorten(LINK).status_code == 201
    project.compose("stop")
    assert not project.published
    project.compose(
        "run",
        "--rm",
        "--entrypoint",
        "sed",
        SERVICE,
        "-i",
        "2s/shortlinks/sh0rtlinks/",
        "/state/dynamodb/journal-00000001",
    )
    assert project.docker("compose", "up", "--wait").returncode != 0
    error = last_error(project.log())
    assert "/state/dynamodb/journal-00000001" in error
    assert "docker compose run --rm localstack restore" in error
    printed = project.compose("run", "--rm", SERVICE, "restore")
    assert "lost: a damaged record of journal-00000001" in printed
    project.compose_up()
    assert project.stack.follow("kept").status_code == 302


@pytest.mark.parametrize("command", [["stop"], ["down"], ["kill", "--signal", "SIGINT"]])
def test_outputs_are_withdrawn_however_the_container_is_stopped(project: Containers, command: list[str]) -> None:
    project.compose_up()
    assert project.published
    project.compose(*command)
    until("the outputs are gone", lambda: not project.published)


def test_a_full_disk_is_said_to_be_one(project: Containers) -> None:
    (project.folder / "docker-compose.override.yml").write_text(
        "volumes: {state: {driver_opts: {type: tmpfs, device: tmpfs, o: size=32m}}}\n"
    )
    project.compose_up()
    assert project.stack.shorten(LINK).status_code == 201
    project.shell("cat /dev/zero > /state/filler")
    for _ in range(20):  # the last block of the journal has room for some
        assert project.stack.follow("kept").status_code == 302
    assert project.stack.shorten({**LINK, "code": "new"}).status_code == 500
    assert "cannot be written to (No space left on device)" in project.run("scripts/status.sh").stdout
    done = project.run("scripts/down.sh")
    assert done.returncode == 1
    assert "error: the engine has stopped, but not everything could be saved" in done.stderr
