"""Requests that come while the stack changes under them, and what is left behind of a full run."""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import builds
from project import CHECKOUT, FUNCTION_NAMES, TLS, Project, Stack, until

pytestmark = pytest.mark.long

LINK = {"long_url": "https://example.com/", "code": "busy"}
CLIENTS = 2
EVERY = 0.01  # seconds; without a pause, they would ask for as much as the machine has
CLEAN = {302, 404, 429, 500, 502, 503}  # each with a whole answer behind it


@contextmanager
def busy(stack: Stack) -> Iterator[Counter[int]]:
    """Yield the statuses that clients get who follow a link all the while."""
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def follow() -> None:
        with stack.http() as client:
            while not over.is_set():
                statuses[client.get(f"/r/{LINK['code']}").status_code] += 1
                over.wait(EVERY)

    threads = [threading.Thread(target=follow) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        until("requests are answered", lambda: statuses[302] > 10)
        yield statuses
        served = statuses[302]
        until("requests are answered again", lambda: statuses[302] > served + 10 or statuses[404] > 10)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_redeploy_under_load_loses_and_invents_no_click(few: Project, tmp_path: Path) -> None:
    stack = few.stack
    stack.shorten(LINK)
    lambdas = Path(shutil.copytree(CHECKOUT / "lambdas", tmp_path / "lambdas"))
    handler = lambdas / "redirect/handler.py"
    handler.write_text(handler.read_text() + "\n# changed\n")
    with busy(stack) as statuses:
        assert ("function", "redirect") in builds.succeed(few, builds.FEW, lambdas).changes("updated")
    assert set(statuses) == {302}
    assert stack.clicks(LINK["code"]) == statuses[302]


def test_a_reset_under_load_ends_in_the_same_stack_without_its_links(shrunk: Project) -> None:
    stack = shrunk.stack
    stack.shorten(LINK)
    with busy(stack) as statuses:
        httpx.post(f"{shrunk.engine}/_ministack/reset?init=1", timeout=60, verify=TLS).raise_for_status()
        until("the stack is back", lambda: (shrunk.outputs / "api_id").exists())
        assert stack.shorten(LINK).status_code == 201
    assert set(statuses) <= CLEAN
    assert stack.clicks(LINK["code"]) <= statuses[302]
    assert shrunk.stack.url == stack.url
    done = builds.succeed(shrunk, builds.FEW)
    assert not done.changes("created") | done.changes("updated") | done.changes("removed")


def test_no_log_and_no_output_has_a_token_or_the_secret_in_it(spoilt: Project) -> None:
    secret = "the-one-secret-that-must-not-be-seen-anywhere"
    printed = builds.succeed(spoilt, JWT_SECRET=secret).printed
    stack = replace(spoilt.stack, secret=secret)
    token = stack.token()
    forged = stack.token(secret="another-secret-that-must-not-be-seen")
    for one in (token, forged, f"{token}x", "Bearer"):
        with stack.http(headers={"Authorization": f"Bearer {one}"}) as client:
            client.post("/shorten", json=LINK)
            client.post("/shorten", content=one)
    printed += spoilt.check("scripts/smoke.sh", JWT_SECRET=secret)
    logs = [
        event["message"]
        for function in FUNCTION_NAMES
        for event in stack.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    ]
    assert any('"status": "deny"' in line for line in logs)
    left = [
        *logs,
        (spoilt.state / "engine.log").read_text(),
        *(file.read_text() for file in spoilt.outputs.iterdir()),
    ]
    for text in left:
        assert secret not in text
        assert token not in text
        assert forged not in text
        assert "eyJ" not in text
    assert secret not in printed
    assert "eyJ" not in printed
