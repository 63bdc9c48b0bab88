"""A container that stops, however, and starts again has the stack again, by itself."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from containers import LOOK_EVERY, SERVICE, Containers, last_error
from project import Stack, until

pytestmark = pytest.mark.compose
LINK = {"long_url": "https://example.com/", "code": "kept"}
HOOKS = ("02-part2-dynamodb.sh", "04-part4-api.sh")


def answers_with_count(stack: Stack, code: str, count: int) -> None:
    assert stack.clicks(code) == count
    assert stack.follow(code).headers["location"] == LINK["long_url"]
    assert stack.clicks(code) == count + 1


@pytest.mark.parametrize(
    ("stop", "start"),
    [
        ("", "restart"),
        ("kill --signal SIGINT", "start"),
        ("down", "up --detach"),
        pytest.param("stop", "start", marks=pytest.mark.search),
        pytest.param("stop", "up --detach", marks=pytest.mark.search),
    ],
)
def test_a_restart_keeps_the_url_links_and_counts(running: Containers, code: str, stop: str, start: str) -> None:
    before = running.stack
    assert before.shorten({**LINK, "code": code}).status_code == 201
    before.follow(code)
    if stop:
        running.compose(*stop.split())
        until("the outputs are gone", lambda: not running.published)
        until(
            "it has ended", lambda: running.compose("ps", "--quiet", "--status", "running") == "", look_every=LOOK_EVERY
        )
    running.compose(*start.split())
    assert running.wait_until_judged() == "healthy"
    assert running.stack.url == before.url
    answers_with_count(running.stack, code, 1)
    assert running.stack.shorten({"long_url": LINK["long_url"]}).status_code == 201


def test_wiped_and_killed_while_it_builds_it_converges_and_is_never_healthy_before(running: Containers) -> None:
    before = running.stack
    before.shorten({**LINK, "code": "wiped"})
    running.compose("down", "--volumes")
    for hook in HOOKS:
        seen = running.log().count(hook)
        running.compose("up", "--detach")
        until(f"{hook} runs", lambda: running.log().count(hook) > seen)  # noqa: B023
        assert running.health == "starting"
        assert not running.published
        running.kill_container()
    running.compose("up", "--detach")
    assert running.wait_until_judged() == "healthy"
    stack = running.stack
    assert stack.url == before.url
    assert stack.client("dynamodb").scan(TableName="shortlinks")["Items"] == []
    answer = stack.shorten(LINK)
    assert (answer.status_code, answer.json()) == (201, {**LINK, "owner_id": "user-1"})
    answers_with_count(stack, "kept", 0)


def test_killed_while_it_serves_it_keeps_what_it_acknowledged_and_answers_a_burst_after_the_start(
    running: Containers,
) -> None:
    before = running.stack
    acknowledged: dict[str, int] = {}  # the clicks of each link

    def request_on_and_on() -> None:
        try:
            while (answer := before.shorten({"long_url": LINK["long_url"]})).status_code == 201:
                code = answer.json()["code"]
                acknowledged[code] = 0
                acknowledged[code] += before.follow(code).status_code == 302
        except httpx.HTTPError:
            pass  # it was killed

    clients = [threading.Thread(target=request_on_and_on) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        until("requests are being answered", lambda: len(acknowledged) > 20)
    finally:
        running.kill_container()
        for client in clients:
            client.join()
    running.compose_up()
    stack = running.stack
    with stack.http() as http, ThreadPoolExecutor(100) as pool:
        statuses = Counter(pool.map(lambda _: http.get("/r/none").status_code, range(300)))
    assert statuses == {404: 300}
    assert stack.url == before.url
    assert [code for code, count in acknowledged.items() if not count <= stack.clicks(code) <= 1] == []
    assert SERVICE in running.compose("ps", "--services", "--status", "running")


def test_damaged_state_stops_the_start_and_what_can_be_read_is_kept(running: Containers, code: str) -> None:
    running.compose("down", "--volumes")
    running.compose_up()
    assert running.stack.shorten({**LINK, "code": code}).status_code == 201
    journal = "/state/dynamodb/journal-00000001"
    running.compose("stop")
    running.compose("run", "--rm", "--entrypoint", "sed", SERVICE, "-i", "2s/shortlinks/sh0rtlinks/", journal)
    assert running.docker("compose", "up", "--wait").returncode != 0
    error = last_error(running.log())
    assert journal in error
    assert "docker compose run --rm localstack restore" in error
    printed = running.compose("run", "--rm", SERVICE, "restore")
    assert "lost: a damaged record of journal-00000001" in printed
    running.compose_up()
    assert running.stack.follow(code).status_code == 302
