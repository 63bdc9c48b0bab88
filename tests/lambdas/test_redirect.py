"""Invoke GET and HEAD /r/{code} by events."""

import json
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import pytest

from .events import get, head, post, recorded
from .functions import Function
from .table import NAME, Table

URL = "https://example.com/a?b=c&d=%20#e"
FOUND = {"statusCode": 302, "headers": {"Location": URL, "Cache-Control": "no-store"}, "body": ""}
NOT_FOUND = {
    "statusCode": 404,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"error": "not found"}),
}


def test_get_redirects_and_counts_one_click(redirect: Function, links: Table) -> None:
    stored = links.put("abc123", URL)
    assert redirect(recorded("redirect-get")) == FOUND
    assert links.rows() == {"abc123": stored | {"click_count": {"N": "8"}}}


def test_head_answers_as_get_does_and_counts_nothing(redirect: Function, links: Table) -> None:
    stored = links.put("abc123", URL)
    assert redirect(recorded("redirect-head")) == FOUND
    assert links.rows() == {"abc123": stored}


def test_every_click_of_many_at_once_counts(redirect: Function, links: Table) -> None:
    links.put("abc123", URL)
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(redirect.invoke, [get("abc123")] * 40))
    assert answers == [FOUND] * 40
    assert links.rows()["abc123"]["click_count"] == {"N": "47"}


@pytest.mark.parametrize("visit", [get, head])
def test_follows_what_shorten_stored(shorten: Function, redirect: Function, links: Table, visit: Any) -> None:
    for code in ("mine", "-", "x" * 64):
        assert shorten(post({"long_url": URL, "code": code}))["statusCode"] == HTTPStatus.CREATED
        assert redirect(visit(code)) == FOUND


@pytest.mark.parametrize("visit", [get, head])
@pytest.mark.parametrize(
    "code",
    [
        "unknown",
        "MINE",
        "mine\n",
        " mine",
        "mine/",
        "m%69ne",
        "mïne",
        "\uff11",
        "",
        "\x00",
        "\ud800",
        "x" * 65,
        "x" * 5_000,
    ],
)
def test_an_unknown_code_is_not_found_and_no_row_appears(
    redirect: Function, links: Table, visit: Any, code: str
) -> None:
    stored = links.put("mine")
    assert redirect(visit(code)) == NOT_FOUND
    assert links.rows() == {"mine": stored}


@pytest.mark.parametrize("visit", [get, head])
def test_a_row_without_a_url_is_not_found_and_stays(redirect: Function, links: Table, visit: Any) -> None:
    row = {"code": {"S": "mine"}}
    links.client.put_item(TableName=NAME, Item=row)
    assert redirect(visit("mine")) == NOT_FOUND
    assert links.rows() == {"mine": row}


def test_only_the_click_count_of_only_this_link_changes(redirect: Function, links: Table) -> None:
    stored = {code: links.put(code, URL) for code in ("mine", "other")}
    for _ in range(3):
        redirect(get("mine"))
    assert links.rows() == stored | {"mine": stored["mine"] | {"click_count": {"N": "10"}}}
