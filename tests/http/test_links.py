"""GET /links, GET and DELETE /links/{code}, as a client meets them."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import quote

import httpx
import pytest

from project import Stack

pytestmark = pytest.mark.http
LONG_URL = "https://example.com/path?query=1#fragment"


@pytest.fixture
def clients(stack: Stack, code: str) -> Iterator[list[httpx.Client]]:
    """Yield the clients of two owners who have no links yet."""
    with ExitStack() as opened:
        yield [
            opened.enter_context(stack.http(headers={"Authorization": f"Bearer {stack.token(f'{code}-{name}')}"}))
            for name in ("alice", "bob-ü")
        ]


def create(client: httpx.Client, *codes: str) -> None:
    for code in codes:
        assert client.post("/shorten", json={"long_url": LONG_URL, "code": code}).status_code == 201


def codes(answer: httpx.Response) -> list[str]:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return [link["code"] for link in answer.json()["links"]]


def test_each_owner_lists_their_own_links_page_by_page(clients: list[httpx.Client], code: str) -> None:
    alice, bob = clients
    create(alice, *(f"{code}-{number}" for number in (3, 1, 5)))
    create(bob, *(f"{code}-{number}" for number in (4, 2)))
    assert codes(alice.get("/links")) == [f"{code}-{number}" for number in (1, 3, 5)]
    assert codes(bob.get("/links")) == [f"{code}-{number}" for number in (2, 4)]
    first = alice.get("/links", params={"limit": 2})
    assert codes(first) == [f"{code}-1", f"{code}-3"]
    following = first.json()["next"]
    last = alice.get("/links", params={"limit": 2, "next": following})
    assert codes(last) == [f"{code}-5"]
    assert "next" not in last.json()
    assert "next" not in alice.get("/links", params={"limit": 3}).json()
    refused = bob.get("/links", params={"next": following})
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("next ")


def test_the_list_and_the_link_show_clicks_and_expiry(stack: Stack, clients: list[httpx.Client], code: str) -> None:
    alice, _ = clients
    link = {"code": code, "long_url": LONG_URL, "expires_at": 2_000_000_000}
    assert alice.post("/shorten", json=link).status_code == 201
    for clicks in range(3):
        for answer in (alice.get(f"/links/{code}"), alice.get("/links")):
            assert answer.headers["cache-control"] == "no-store"
            shown = answer.json()
            assert shown in ({**link, "click_count": clicks}, {"links": [{**link, "click_count": clicks}]})
        stack.follow(code)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=", "limit=ten", "limit=1&limit=2", "next=", "next=AAAA"]
)
def test_a_query_that_is_not_valid_is_refused(clients: list[httpx.Client], query: str) -> None:
    answer = clients[0].get(f"/links?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{query.partition('=')[0]} ")


def test_a_deleted_link_is_gone_and_its_code_is_free(stack: Stack, clients: list[httpx.Client], code: str) -> None:
    alice, bob = clients
    create(alice, code)
    answer = alice.delete(f"/links/{code}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert stack.row(code) is None
    assert stack.follow(code).status_code == alice.get(f"/links/{code}").status_code == 404
    assert codes(alice.get("/links")) == []
    create(bob, code)
    assert alice.delete(f"/links/{code}").status_code == 404
    assert stack.row(code) is not None


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_anothers_link_and_none_are_answered_with_the_same_bytes(
    stack: Stack, clients: list[httpx.Client], code: str, method: str
) -> None:
    alice, bob = clients
    create(alice, code)
    row = stack.row(code)
    segments = [code, f"{code}-unknown", quote(f"{code} "), "%00", "%C3%BC", "x" * 65]
    answers = [bob.request(method, f"/links/{segment}") for segment in segments]
    assert [(answer.status_code, answer.content) for answer in answers] == [(404, b'{"error": "not found"}')] * 6
    same = [{**answer.headers, "apigw-requestid": "", "date": ""} for answer in answers]
    assert same == [same[0]] * 6
    assert stack.row(code) == row


def test_of_many_who_delete_at_once_one_is_told_so(clients: list[httpx.Client], code: str) -> None:
    alice, _ = clients
    create(alice, code)
    with ThreadPoolExecutor(50) as pool:
        statuses = Counter(pool.map(lambda _: alice.delete(f"/links/{code}").status_code, range(50)))
    assert statuses == {204: 1, 404: 49}


def test_links_that_many_create_at_once_are_all_listed(clients: list[httpx.Client], code: str) -> None:
    alice, _ = clients
    wanted = [f"{code}-{number:02}" for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda one: create(alice, one), wanted))
        pages = list(pool.map(lambda _: codes(alice.get("/links", params={"limit": 100})), range(50)))
    assert pages == [wanted] * 50


def test_a_click_and_a_delete_at_once_leave_nothing_behind(
    stack: Stack, clients: list[httpx.Client], code: str
) -> None:
    alice, _ = clients
    create(alice, code)
    with ThreadPoolExecutor(20) as pool:
        clicks = [pool.submit(stack.follow, code) for _ in range(20)]
        deleted = pool.submit(alice.delete, f"/links/{code}")
        statuses = {click.result().status_code for click in clicks}
    assert deleted.result().status_code == 204
    assert statuses <= {302, 404}
    assert stack.row(code) is None
