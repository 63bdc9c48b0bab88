"""A container that stops, however, and starts again has the stack again, by itself."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from containers import SERVICE, Containers
from project import Stack, until

pytestmark = pytest.mark.compose
LINK = {"long_url": "https://example.com/", "code": "kept"}
HOOKS = ("02-part2-dynamodb.sh", "04-part4-api.sh")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a stack that is up, for tests that leave it up; its links are theirs to make and lose."""
    containers = Containers.fresh(tmp_path_factory.mktemp("running"))
    try:
        containers.compose_up()
        yield containers
    finally:
        containers.discard()


def answers_with_count(stack: Stack, code: str, count: int) -> None:
    assert stack.clicks(code) == count
    assert stack.follow(code).headers["location"] == LINK["long_url"]
    assert stack.clicks(code) == count + 1


@pytest.mark.parametrize(
    "commands",
    [["restart"], ["stop", "start"], ["stop", "up --detach"], ["down", "up --detach"]],
    ids=" and ".join,
)
def test_a_restart_keeps_the_url_links_and_counts(running: Containers, commands: list[str]) -> None:
    before = running.stack
    code = "-".join(commands[0:2]).replace(" ", "")
    assert before.shorten({**LINK, "code": code}).status_code == 201
    before.follow(code)
    for command in commands:
        running.compose(*command.split())
    assert running.wait_until_judged() == "healthy"
    assert running.stack.url == before.url
    answers_with_count(running.stack, code, 1)
    assert running.stack.shorten({"long_url": LINK["long_url"]}).status_code == 201


def test_without_its_volume_it_has_the_same_url_and_no_link(running: Containers) -> None:
    before = running.stack
    before.shorten({**LINK, "code": "wiped"})
    running.compose("down", "--volumes")
    running.compose_up()
    assert running.stack.url == before.url
    assert running.stack.client("dynamodb").scan(TableName="shortlinks")["Items"] == []
    assert running.stack.shorten({**LINK, "code": "wiped"}).status_code == 201


def test_an_edit_is_live_after_one_command_and_no_restart(running: Containers) -> None:
    stack = running.stack
    stack.shorten({**LINK, "code": "edited"})
    identity = "{{.Id}} {{.State.StartedAt}}"
    before = running.inspect(identity)
    handler = running.folder / "lambdas/redirect/handler.py"
    source = handler.read_text()
    try:
        handler.write_text(source.replace('"no-store"', '"no-store, private"'))
        printed = running.check("scripts/up.sh")
        changed = [line.split()[:3] for line in printed.splitlines() if " updated " in line]
        assert changed == [["function", "redirect", "updated"]]
        assert stack.follow("edited").headers["cache-control"] == "no-store, private"
        assert running.inspect(identity) == before
    finally:
        handler.write_text(source)
        running.check("scripts/up.sh")


def test_killed_while_it_builds_it_converges_and_is_never_healthy_before(project: Containers) -> None:
    for hook in HOOKS:
        seen = project.log().count(hook)
        project.compose("up", "--detach")
        until(f"{hook} runs", lambda: project.log().count(hook) > seen)  # noqa: B023
        assert project.health == "starting"
        assert not project.published
        project.kill_container()
    project.compose("up", "--detach")
    assert project.wait_until_judged() == "healthy"
    assert project.stack.shorten(LINK).status_code == 201
    answers_with_count(project.stack, "kept", 0)


def test_killed_while_it_serves_it_keeps_every_link_that_it_acknowledged(project: Containers) -> None:
    project.compose_up()
    before = project.stack
    before.shorten(LINK)
    before.follow("kept")

    acknowledged: list[str] = []

    def request_on_and_on() -> None:
        try:
            while (answer := project.stack.shorten({"long_url": LINK["long_url"]})).status_code == 201:
                acknowledged.append(answer.json()["code"])
        except httpx.HTTPError:
            pass  # it was killed

    clients = [threading.Thread(target=request_on_and_on) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        until("requests are being answered", lambda: len(acknowledged) > 20)
    finally:
        project.kill_container()
        for client in clients:
            client.join()
    project.compose("up", "--detach")
    assert project.wait_until_judged() == "healthy"
    assert project.stack.url == before.url
    answers_with_count(project.stack, "kept", 1)
    assert [code for code in acknowledged if project.stack.row(code) is None] == []
    assert SERVICE in project.compose("ps", "--services", "--status", "running")
