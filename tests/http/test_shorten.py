"""POST /shorten, as a client meets it."""

import base64
import json
from collections.abc import Iterator

import httpx
import pytest

from project import Stack

pytestmark = pytest.mark.http
LONG_URL = "https://example.com/path?query=1#fragment"


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client:
        yield client


def test_a_link_is_stored_under_a_drawn_code(stack: Stack, client: httpx.Client) -> None:
    answer = client.post("/shorten", json={"long_url": LONG_URL})
    link = answer.json()
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert link == {"code": link["code"], "long_url": LONG_URL, "owner_id": "user-1"}
    assert len(link["code"]) == 6
    assert link["code"].isalnum()
    assert link["code"] == link["code"].lower()
    assert answer.headers["location"] == f"r/{link['code']}"
    assert stack.row(link["code"]) == {
        "code": {"S": link["code"]},
        "long_url": {"S": LONG_URL},
        "owner_id": {"S": "user-1"},
        "click_count": {"N": "0"},
    }


def test_the_location_is_relative_to_the_request(client: httpx.Client) -> None:
    created = client.post("/shorten", json={"long_url": LONG_URL})
    followed = client.get(created.request.url.join(created.headers["location"]))
    assert followed.headers["location"] == LONG_URL


def test_the_owner_is_the_subject_of_the_token(stack: Stack) -> None:
    assert stack.shorten({"long_url": LONG_URL}, user="Zoë").json()["owner_id"] == "Zoë"


def test_a_code_may_be_asked_for(client: httpx.Client, code: str) -> None:
    answer = client.post("/shorten", json={"long_url": LONG_URL, "code": code})
    assert answer.status_code == 201
    assert answer.json()["code"] == code
    assert answer.headers["location"] == f"r/{code}"


def test_a_code_that_is_taken_is_refused(stack: Stack, code: str) -> None:
    stack.shorten({"long_url": LONG_URL, "code": code})
    before = stack.row(code)
    answer = stack.shorten({"long_url": "https://example.com/other", "code": code}, user="user-2")
    assert answer.status_code == 409
    assert answer.json() == {"error": f"code '{code}' is taken"}
    assert stack.row(code) == before


def test_a_body_in_base64_is_decoded(client: httpx.Client, code: str) -> None:
    body = json.dumps({"long_url": LONG_URL, "code": code})
    answer = client.post("/shorten", content=body, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 201
    assert client.post("/shorten", content=body).status_code == 409


def test_a_field_that_cannot_be_used_is_named(client: httpx.Client) -> None:
    """Ask for what the gateway might change on its way; tests/lambdas/test_shorten.py has all rules."""
    for fields, named in (
        ({}, "long_url"),
        ({"long_url": "https://example.com/" + "x" * 2029}, "long_url"),
        ({"long_url": "https://example.com/\r\nSet-Cookie: a=b"}, "long_url"),
        ({"long_url": "https://example.com/\u0000"}, "long_url"),
        ({"long_url": "https://example.com/\ud800"}, "long_url"),
        ({"long_url": LONG_URL, "code": "no/slash"}, "code"),
        ({"long_url": LONG_URL, "code": "ü"}, "code"),
    ):
        answer = client.post("/shorten", content=json.dumps(fields), headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, fields
        assert list(answer.json()) == ["error"]
        assert answer.json()["error"].startswith(f"{named} "), fields
        assert answer.headers["content-type"] == "application/json"


def test_a_body_that_is_no_json_object_is_refused(client: httpx.Client) -> None:
    content_types: list[str] = ["application/json", "application/octet-stream"]
    for content_type in content_types:
        for body in (b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000):
            answer = client.post("/shorten", content=body, headers={"Content-Type": content_type})
            assert answer.status_code == 400, body[:10]
            assert answer.json()["error"].startswith("body "), body[:10]


def test_a_link_of_this_api_is_refused(stack: Stack, client: httpx.Client) -> None:
    by_host_name = f"http://{stack.api_id}.execute-api.localhost.localstack.cloud/dev/r/mine"
    for own in (f"{stack.url}/r/mine", by_host_name):
        answer = client.post("/shorten", json={"long_url": own})
        assert answer.status_code == 400
        assert answer.json() == {"error": "long_url must not be a link of this API"}


def test_the_longest_code_and_url_are_taken(stack: Stack, code: str) -> None:
    code = code.ljust(64, "_")
    long_url = "https://example.com/".ljust(2048, "x")
    assert stack.shorten({"long_url": long_url, "code": code}).status_code == 201
    assert stack.follow(code).headers["location"] == long_url


def test_base64_that_reads_like_json_is_not_decoded_twice(client: httpx.Client) -> None:
    twice = base64.b64encode(json.dumps({"long_url": LONG_URL}).encode())
    assert client.post("/shorten", content=twice).status_code == 400
