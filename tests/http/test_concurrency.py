"""Many at once: every request is answered, no click is lost, and one of many wins a code."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from project import Stack

pytestmark = pytest.mark.http
LONG_URL = "https://example.com/"


@pytest.fixture
def crowd(pytestconfig: pytest.Config) -> int:
    """Return how many ask at once: fewer where the engine may start a process for each, without a queue."""
    without_queue = pytestconfig.getoption("--stack-url") or pytestconfig.getoption("--localstack")
    return 20 if without_queue else 100


def test_clicks_at_once_are_all_answered_and_counted(stack: Stack, code: str, crowd: int) -> None:
    assert stack.shorten({"long_url": LONG_URL, "code": code}).status_code == 201
    with stack.http() as client, ThreadPoolExecutor(crowd) as pool:
        statuses = Counter(pool.map(lambda _: client.get(f"/r/{code}").status_code, range(crowd)))
    assert statuses == {302: crowd}
    assert stack.clicks(code) == crowd


def test_one_of_many_wins_a_code_and_the_others_are_told(stack: Stack, code: str, crowd: int) -> None:
    with (
        stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client,
        ThreadPoolExecutor(crowd // 4) as pool,
    ):
        links = [{"long_url": f"{LONG_URL}{number}", "code": code} for number in range(crowd // 4)]
        answers = list(pool.map(lambda link: client.post("/shorten", json=link), links))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: len(links) - 1}
    (winner,) = [answer.json() for answer in answers if answer.status_code == 201]
    assert stack.row(code) == {
        "code": {"S": code},
        "long_url": {"S": winner["long_url"]},
        "owner_id": {"S": "user-1"},
        "click_count": {"N": "0"},
    }
