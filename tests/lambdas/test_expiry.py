"""Links that expire: to the second, whether or not the table has removed them."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .events import get, head, own_link, post
from .functions import Function
from .table import NAME, Item, Table
from .test_shorten import error

URL = "https://example.com/a?b=c&d=%20#e"
NOW = 1_800_000_000
YEAR = 365 * 24 * 60 * 60
TEN_YEARS = 10 * 365 * 24 * 60 * 60
FOUND = {"statusCode": 302, "headers": {"Location": URL, "Cache-Control": "no-store"}, "body": ""}
GONE = {
    "statusCode": 410,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"error": "expired"}),
}

NOT_FOUND = {
    "statusCode": 404,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"error": "not found"}),
}


@pytest.fixture(autouse=True)
def clock(shorten: Function, redirect: Function) -> Iterator[Any]:
    """Stop the clock of both functions at NOW, and return what moves it; let it go again at the end."""

    def move(now: float) -> None:
        shorten.stop_clock(now)
        redirect.stop_clock(now)

    move(NOW)
    yield move
    for function in (shorten, redirect):
        function.handler.time = SimpleNamespace(time=time.time)  # type: ignore[attr-defined]


@pytest.mark.parametrize("expires_at", [NOW + 1, NOW + 3600, NOW + TEN_YEARS])
def test_shorten_stores_when_a_link_expires_and_says_so(shorten: Function, links: Table, expires_at: int) -> None:
    answer = shorten(post({"long_url": URL, "code": "mine", "expires_at": expires_at}))
    assert answer["statusCode"] == HTTPStatus.CREATED
    assert json.loads(answer["body"]) == {
        "code": "mine",
        "long_url": URL,
        "owner_id": "user-1",
        "expires_at": expires_at,
    }
    assert links.rows() == {
        "mine": {
            "code": {"S": "mine"},
            "long_url": {"S": URL},
            "owner_id": {"S": "user-1"},
            "click_count": {"N": "0"},
            "expires_at": {"N": str(expires_at)},
        },
        "expired:mine": {"code": {"S": "expired:mine"}, "expires_at": {"N": str(expires_at + YEAR)}},
    }


def test_a_drawn_code_expires_too(shorten: Function, links: Table) -> None:
    link = json.loads(shorten(post({"long_url": URL, "expires_at": NOW + 9}))["body"])
    assert links.rows()[link["code"]]["expires_at"] == {"N": str(NOW + 9)}


@pytest.mark.parametrize(
    "expires_at",
    [
        *(NOW, NOW - 1, 0, -1, NOW + TEN_YEARS + 1, 10**30, -(10**30)),
        *(True, None, NOW + 1.5, NOW + 60.0, "", str(NOW + 60), [NOW + 60], {"N": NOW + 60}),
    ],
    ids=repr,
)
def test_any_other_expiry_is_refused_and_nothing_is_written(
    shorten: Function, links: Table, expires_at: object
) -> None:
    answer = shorten(post({"long_url": URL, "code": "mine", "expires_at": expires_at}))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("expires_at ")
    assert links.rows() == {}


@pytest.mark.parametrize("visit", [get, head])
def test_a_link_leads_on_until_its_second_has_come_and_no_longer(
    redirect: Function, links: Table, clock: Any, visit: Any
) -> None:
    links.put("mine", URL, expires_at=NOW + 1)
    for now in (NOW, NOW + 0.999):
        clock(now)
        assert redirect(visit("mine")) == FOUND
    before = links.rows()
    for now in (NOW + 1, NOW + 1.001, NOW + 10**9):
        clock(now)
        assert redirect(visit("mine")) == GONE
    assert links.rows() == before


@given(left=st.integers(-5, 5), fraction=st.floats(0, 0.999), clicks=st.integers(1, 3))
def test_clicks_count_before_the_expiry_and_none_after_it(
    redirect: Function, table: Table, left: int, fraction: float, clicks: int
) -> None:
    table.empty()
    table.put("mine", URL, expires_at=NOW + left)
    redirect.stop_clock(NOW + fraction)
    assert [redirect(get("mine")) for _ in range(clicks)] == [FOUND if left > 0 else GONE] * clicks
    assert table.rows()["mine"]["click_count"] == {"N": str(7 + (clicks if left > 0 else 0))}


def test_an_expired_code_may_be_taken_anew_and_is_the_new_owners_alone(
    shorten: Function, redirect: Function, links: Table
) -> None:
    links.put("mine", expires_at=NOW)
    answer = shorten(post({"long_url": URL, "code": "mine"}, user="user-2"))
    assert answer["statusCode"] == HTTPStatus.CREATED
    stored: Item = {
        "code": {"S": "mine"},
        "long_url": {"S": URL},
        "owner_id": {"S": "user-2"},
        "click_count": {"N": "0"},
    }
    assert links.rows() == {"mine": stored}
    assert redirect(get("mine")) == FOUND


@pytest.mark.parametrize("visit", [get, head])
def test_a_link_that_the_table_has_removed_is_gone_for_a_year(
    shorten: Function, redirect: Function, links: Table, clock: Any, visit: Any
) -> None:
    shorten(post({"long_url": URL, "code": "mine", "expires_at": NOW + 5}))
    links.client.delete_item(TableName=NAME, Key={"code": {"S": "mine"}})
    for now, answer in ((NOW + 4, NOT_FOUND), (NOW + 5, GONE), (NOW + YEAR, GONE)):
        clock(now)
        assert redirect(visit("mine")) == answer
    assert redirect(visit("expired:mine")) == NOT_FOUND
    assert shorten(post({"long_url": URL, "code": "mine"}, user="user-2"))["statusCode"] == HTTPStatus.CREATED
    assert redirect(visit("mine")) == FOUND


def test_a_link_that_its_owner_has_deleted_is_unknown_ever_after(
    shorten: Function, redirect: Function, owners: Function, links: Table, clock: Any
) -> None:
    shorten(post({"long_url": URL, "code": "mine", "expires_at": NOW + 5}))
    owners(own_link("DELETE", "mine"))
    clock(NOW + 6)
    assert redirect(get("mine")) == NOT_FOUND
    assert links.rows() == {}


def test_a_code_that_expires_later_is_taken(shorten: Function, links: Table) -> None:
    stored = links.put("mine", expires_at=NOW + 1)
    assert shorten(post({"long_url": URL, "code": "mine"}))["statusCode"] == HTTPStatus.CONFLICT
    assert links.rows() == {"mine": stored}


def test_one_of_many_takes_an_expired_code(shorten: Function, links: Table) -> None:
    links.put("mine", expires_at=NOW)
    events = [post({"long_url": f"{URL}{number}", "code": "mine"}, f"user-{number}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(shorten.invoke, events))
    assert Counter(answer["statusCode"] for answer in answers) == {201: 1, 409: 39}
    (winner,) = [json.loads(answer["body"]) for answer in answers if answer["statusCode"] == HTTPStatus.CREATED]
    assert links.rows()["mine"]["owner_id"] == {"S": winner["owner_id"]}
    assert links.rows()["mine"]["long_url"] == {"S": winner["long_url"]}
