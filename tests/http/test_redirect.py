"""GET and HEAD /r/{code}, as a client meets them."""

import time

import httpx
import pytest

from project import Stack
from stack.definition import DEFINITION

pytestmark = pytest.mark.http
LONG_URL = "https://example.com/path?query=1#fragment"


@pytest.fixture
def link(stack: Stack, code: str) -> str:
    assert stack.shorten({"long_url": LONG_URL, "code": code}).status_code == 201
    return code


def test_get_redirects_and_counts(stack: Stack, link: str) -> None:
    answer = stack.follow(link)
    assert answer.status_code == 302
    assert answer.headers["location"] == LONG_URL
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b""
    assert stack.clicks(link) == 1


def test_head_redirects_and_does_not_count(stack: Stack, link: str) -> None:
    with stack.http() as client:
        answer = client.head(f"/r/{link}")
    assert answer.status_code == 302
    assert answer.headers["location"] == LONG_URL
    assert answer.headers["cache-control"] == "no-store"
    assert stack.clicks(link) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_unknown_code_is_not_found_and_leaves_no_row(stack: Stack, code: str, method: str) -> None:
    with stack.http() as client:
        answer = client.request(method, f"/r/{code}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    if method == "GET":
        assert answer.json() == {"error": "not found"}
    assert stack.row(code) is None


def test_an_expired_link_is_gone_counts_no_click_and_can_be_taken(stack: Stack, code: str) -> None:
    expires_at = int(time.time()) + 2
    created = stack.shorten({"long_url": LONG_URL, "code": code, "expires_at": expires_at})
    assert created.json()["expires_at"] == expires_at
    assert stack.follow(code).status_code == 302
    with stack.http() as client:
        clicks, gone = 1, client.get(f"/r/{code}")
        while gone.status_code == 302:
            clicks, gone = clicks + 1, client.get(f"/r/{code}")
        assert time.time() >= expires_at
        assert (gone.status_code, gone.json()) == (410, {"error": "expired"})
        assert gone.headers["content-type"] == "application/json"
        assert client.head(f"/r/{code}").status_code == 410
    row = stack.row(code)
    assert row is None or row["click_count"] == {"N": str(clicks)}  # the table may have removed it by now
    stack.client("dynamodb").delete_item(TableName=DEFINITION.table_name("shortlinks"), Key={"code": {"S": code}})
    removed = stack.follow(code)
    assert (removed.status_code, removed.json()) == (410, {"error": "expired"})
    taken = stack.shorten({"long_url": f"{LONG_URL}2", "code": code}, user="user-2")
    assert taken.json() == {"code": code, "long_url": f"{LONG_URL}2", "owner_id": "user-2"}
    assert stack.follow(code).headers["location"] == f"{LONG_URL}2"
    assert stack.clicks(code) == 1


def test_what_cannot_be_a_code_is_not_found(stack: Stack) -> None:
    segments: list[str] = [
        "%00",
        "a%00b",
        "%0d%0aSet-Cookie:a=b",
        "%C3%BC",
        "%ff",
        "..%2f..",
        "a%20b",
        "%25",
        "x" * 65,
        "a;b",
        "$",
    ]
    for segment in segments:
        with stack.http() as client:
            answer = client.get(httpx.URL(f"{stack.url}/r/").copy_with(raw_path=f"{_path(stack)}/r/{segment}".encode()))
        assert answer.status_code == 404


def _path(stack: Stack) -> str:
    return httpx.URL(stack.url).path
