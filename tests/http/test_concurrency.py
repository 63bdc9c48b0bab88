"""Many requests at once: every click counts once, and one of many wins a code."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from project import Stack

pytestmark = pytest.mark.http
LONG_URL = "https://example.com/"
FULL = 429  # what a gateway answers beyond the engine's concurrency, which depends on its memory


def test_clicks_at_once_are_all_counted(stack: Stack, code: str, pytestconfig: pytest.Config) -> None:
    at_once = 50 if pytestconfig.getoption("--stack-url") else 200  # not all engines have the embedded one's queue
    assert stack.shorten({"long_url": LONG_URL, "code": code}).status_code == 201
    with stack.http() as client, ThreadPoolExecutor(at_once) as pool:
        statuses = Counter(pool.map(lambda _: client.get(f"/r/{code}").status_code, range(at_once)))
    assert set(statuses) <= {302, FULL}
    assert stack.clicks(code) == statuses[302] > 0


def test_one_of_many_wins_a_code_and_the_others_are_told(stack: Stack, code: str) -> None:
    with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client, ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda n: client.post("/shorten", json={"long_url": f"{LONG_URL}{n}", "code": code}), range(50))
        )
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409, FULL}
    assert statuses[201] == 1
    (winner,) = [answer.json() for answer in answers if answer.status_code == 201]
    assert stack.row(code) == {
        "code": {"S": code},
        "long_url": {"S": winner["long_url"]},
        "owner_id": {"S": "user-1"},
        "click_count": {"N": "0"},
    }
