"""Invoke GET /links, GET and DELETE /links/{code} by events."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .events import own, own_link, post, recorded
from .functions import Function
from .table import NAME, Table
from .test_shorten import error

URL = "https://example.com/a?b=c&d=%20#e"
PRIVATE = {"Content-Type": "application/json", "Cache-Control": "no-store"}
NOT_FOUND = {
    "statusCode": 404,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"error": "not found"}),
}
DELETED = {"statusCode": 204, "headers": {}, "body": ""}
NO_CODES = ["unknown", "MINE", "mine\n", " mine", "m%69ne", "mïne", "", "\x00", "\ud800", "x" * 65, "x" * 5_000]


def listed(owners: Function, user: str = "user-1", **query: str) -> tuple[list[str], str | None]:
    """Return the codes on a page of the user's list, and its ``next``."""
    answer = owners(own(user, **query))
    assert (answer["statusCode"], answer["headers"]) == (HTTPStatus.OK, PRIVATE)
    body = json.loads(answer["body"])
    assert set(body) - {"next"} == {"links"}
    return [link["code"] for link in body["links"]], body.get("next")


def walked(owners: Function, user: str, limit: int) -> list[list[str]]:
    """Return the pages of the user's whole list."""
    page, following = listed(owners, user, limit=str(limit))
    pages = [page]
    while following is not None:
        page, following = listed(owners, user, limit=str(limit), next=following)
        pages.append(page)
    return pages


def test_lists_the_callers_links_of_a_recorded_event(owners: Function, links: Table) -> None:
    links.put("b", URL, "user-1", expires_at=1)
    links.put("a", URL, "user-1")
    links.put("a-1", URL, "user-2")
    answer = owners(recorded("links"))
    assert (answer["statusCode"], answer["headers"]) == (HTTPStatus.OK, PRIVATE)
    assert json.loads(answer["body"]) == {
        "links": [
            {"code": "a", "long_url": URL, "click_count": 7},
            {"code": "b", "long_url": URL, "click_count": 7, "expires_at": 1},
        ]
    }


def test_lists_nothing_for_who_has_nothing(owners: Function, links: Table) -> None:
    links.put("mine")
    for user in ("user-1", "user-", "user-00", "USER-0", "ünï", "x" * 10_000):
        assert listed(owners, user) == ([], None)


def test_a_page_has_50_links_unless_another_limit_is_asked_for(owners: Function, links: Table) -> None:
    codes = [f"{number:03}" for number in range(101)]
    for code in codes:
        links.put(code, URL, "user-1")
    assert [len(page) for page in walked(owners, "user-1", 100)] == [100, 1]
    page, following = listed(owners)
    assert page == codes[:50]
    assert following is not None
    assert listed(owners, next=following)[0] == codes[50:100]
    assert listed(owners, limit="1", next=following)[0] == [codes[50]]


@given(
    codes=st.dictionaries(
        st.from_regex("[A-Za-z0-9_-]{1,4}", fullmatch=True), st.sampled_from(["user-1", "user-2"]), max_size=12
    ),
    limit=st.integers(1, 5),
)
def test_pages_have_each_of_the_owners_links_once_in_order(
    owners: Function, table: Table, codes: dict[str, str], limit: int
) -> None:
    table.empty()
    for code, owner in codes.items():
        table.put(code, URL, owner)
    for user in ("user-1", "user-2"):
        expected = sorted(code for code, owner in codes.items() if owner == user)
        pages = walked(owners, user, limit)
        assert pages == [expected[start : start + limit] for start in range(0, len(expected) or 1, limit)]


def test_a_list_goes_on_although_the_link_that_it_ended_with_is_gone(owners: Function, links: Table) -> None:
    for code in "abcd":
        links.put(code, URL, "user-1")
    _, following = listed(owners, limit="2")
    assert owners(own_link("DELETE", "b")) == DELETED
    assert listed(owners, next=following or "") == (["c", "d"], None)


@pytest.mark.parametrize(
    "limit",
    ["", "0", "101", "-1", "+1", "1.0", "1e1", "050", " 5", "5 ", "5\n", "\u0665", "1,2", "ten", "null", "9" * 5_000],
)
def test_any_other_limit_is_refused(owners: Function, links: Table, limit: str) -> None:
    answer = owners(own(limit=limit))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("limit ")


def following_of(owners: Function, links: Table, user: str = "user-1") -> str:
    for code in ("a", "b"):
        links.put(f"{user}-{code}", URL, user)
    _, following = listed(owners, user, limit="1")
    assert following is not None
    return following


def test_the_next_of_another_owner_is_refused_and_shows_nothing(owners: Function, links: Table) -> None:
    following_of(owners, links, "user-2")
    answer = owners(own("user-2", next=following_of(owners, links, "user-1")))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("next ")


def test_a_next_with_any_character_changed_is_refused(owners: Function, links: Table) -> None:
    following = following_of(owners, links)
    changed = [f"{following[:at]}{other}{following[at + 1 :]}" for at in range(len(following)) for other in "A_\u0100"]
    for value in [
        *changed,
        f"{following}=",
        f"{following}A",
        f" {following}",
        following[:-1],
        following[:12],
        following * 2,
    ]:
        if value != following:
            assert error(owners(own(next=value))).startswith("next "), value


@given(value=st.text() | st.text("ABCab01_-=", max_size=40) | st.binary().map(bytes.hex))
def test_any_next_is_refused_that_was_never_given(owners: Function, value: str) -> None:
    answer = owners(own(next=value))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("next ")


@pytest.mark.parametrize("name", ["owner_id", "Limit", "after", ""])
def test_any_other_query_parameter_is_refused(owners: Function, links: Table, name: str) -> None:
    answer = owners(own(**{"limit": "1", name: "1"}))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("query ")


def test_shows_one_link_as_of_now(owners: Function, redirect: Function, shorten: Function, links: Table) -> None:
    shorten(post({"long_url": URL, "code": "mine"}))
    answer = owners(own_link("GET", "mine"))
    assert (answer["statusCode"], answer["headers"]) == (HTTPStatus.OK, PRIVATE)
    assert json.loads(answer["body"]) == {"code": "mine", "long_url": URL, "click_count": 0}
    assert links.rows()["mine"]["click_count"] == {"N": "0"}


def test_an_expired_link_is_its_owners_until_somebody_takes_its_code(
    owners: Function, shorten: Function, links: Table
) -> None:
    links.put("mine", URL, "user-1", expires_at=1)
    described = {"code": "mine", "long_url": URL, "click_count": 7, "expires_at": 1}
    assert json.loads(owners(own_link("GET", "mine"))["body"]) == described
    assert listed(owners) == (["mine"], None)
    assert shorten(post({"long_url": URL, "code": "mine"}, "user-2"))["statusCode"] == HTTPStatus.CREATED
    before = links.rows()
    assert listed(owners) == ([], None)
    assert owners(own_link("GET", "mine")) == owners(own_link("DELETE", "mine")) == NOT_FOUND
    assert links.rows() == before
    assert listed(owners, "user-2") == (["mine"], None)


def test_an_expired_link_can_be_deleted(owners: Function, links: Table) -> None:
    links.put("mine", URL, "user-1", expires_at=1)
    assert owners(own_link("DELETE", "mine")) == DELETED
    assert links.rows() == {}


def test_deletes_the_link_and_frees_its_code(owners: Function, shorten: Function, links: Table) -> None:
    links.put("mine", URL, "user-1")
    other = links.put("other", URL, "user-1")
    assert owners(own_link("DELETE", "mine")) == DELETED
    assert links.rows() == {"other": other}
    assert owners(own_link("DELETE", "mine")) == NOT_FOUND
    assert shorten(post({"long_url": URL, "code": "mine"}, "user-2"))["statusCode"] == HTTPStatus.CREATED


def test_one_of_many_deletes_a_link(owners: Function, links: Table) -> None:
    links.put("mine", URL, "user-1")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(owners.invoke, [own_link("DELETE", "mine")] * 40))
    assert Counter(answer["statusCode"] for answer in answers) == {204: 1, 404: 39}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("code", ["theirs", *NO_CODES])
def test_anothers_link_and_none_are_answered_alike_and_stay(
    owners: Function, links: Table, method: str, code: str
) -> None:
    links.put("theirs", expires_at=1)
    links.put("mine")
    before = links.rows()
    assert owners(own_link(method, code)) == NOT_FOUND
    assert links.rows() == before


def test_rows_that_are_no_links_are_neither_shown_nor_deleted(owners: Function, links: Table) -> None:
    row: dict[str, Any] = {"code": {"S": "mine"}, "owner_id": {"S": "user-1"}}
    links.client.put_item(TableName=NAME, Item=row)
    assert listed(owners) == ([], None)
    assert owners(own_link("GET", "mine")) == owners(own_link("DELETE", "mine")) == NOT_FOUND
    assert links.rows() == {"mine": row}


def test_an_owner_that_the_index_cannot_hold_is_refused(shorten: Function, links: Table) -> None:
    assert shorten(post({"long_url": URL}, "é" * 1024))["statusCode"] == HTTPStatus.CREATED
    before = links.rows()
    answer = shorten(post({"long_url": URL}, "é" * 1024 + "x"))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert "sub" in error(answer)
    assert links.rows() == before
