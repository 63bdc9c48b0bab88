"""Invoke POST /shorten by events."""

import base64
import json
import secrets
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest

from engine_proxy import Drop, Request, proxy

from .events import Event, post, post_bytes, post_text, recorded
from .functions import Function, load
from .table import NAME, Table

URL = "https://example.com/a?b=c&d=%20#e"
JSON = "application/json"


def error(answer: dict[str, Any]) -> str:
    """Return the message of an error, which has the one shape that all errors have."""
    assert answer["headers"] == {"Content-Type": JSON}
    body = json.loads(answer["body"])
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    return body["error"]


def test_stores_the_link_of_a_recorded_event(shorten: Function, links: Table) -> None:
    answer = shorten(recorded("shorten"))
    link = json.loads(answer["body"])
    assert answer["statusCode"] == HTTPStatus.CREATED
    assert answer["headers"] == {"Content-Type": JSON, "Location": f"r/{link['code']}"}
    assert link == {"code": link["code"], "long_url": "https://example.com/a/long/path?q=1", "owner_id": "user-1"}
    assert links.rows() == {
        link["code"]: {
            "code": {"S": link["code"]},
            "long_url": {"S": "https://example.com/a/long/path?q=1"},
            "owner_id": {"S": "user-1"},
            "click_count": {"N": "0"},
        }
    }


def test_decodes_a_recorded_base64_body(shorten: Function, links: Table) -> None:
    answer = shorten(recorded("shorten-base64"))
    assert answer["statusCode"] == HTTPStatus.CREATED
    assert [row["long_url"]["S"] for row in links.rows().values()] == ["https://example.com/a/long/path?q=1"]


@pytest.mark.parametrize("code", ["mine", "a", "0", "-", "_", "A-Z_a-z_0-9", "x" * 64])
def test_uses_the_code_asked_for(shorten: Function, links: Table, code: str) -> None:
    answer = shorten(post({"long_url": URL, "code": code}))
    assert answer["statusCode"] == HTTPStatus.CREATED
    assert answer["headers"]["Location"] == f"r/{code}"
    assert json.loads(answer["body"]) == {"code": code, "long_url": URL, "owner_id": "user-1"}
    assert list(links.rows()) == [code]


def test_codes_differ_by_case(shorten: Function, links: Table) -> None:
    for code in ("mine", "Mine"):
        assert shorten(post({"long_url": URL, "code": code}))["statusCode"] == HTTPStatus.CREATED
    assert sorted(links.rows()) == ["Mine", "mine"]


def test_the_owner_is_the_authorized_user_whatever_the_body_says(shorten: Function, links: Table) -> None:
    body = {"long_url": URL, "code": "mine", "owner_id": "mallory", "userId": "mallory", "click_count": 1000, "x": 1}
    answer = shorten(post(body, user="alice"))
    assert json.loads(answer["body"])["owner_id"] == "alice"
    assert links.rows()["mine"] == {
        "code": {"S": "mine"},
        "long_url": {"S": URL},
        "owner_id": {"S": "alice"},
        "click_count": {"N": "0"},
    }


@pytest.mark.parametrize("user", ["user-1", "auth0|5f7c8ec7c33c6c004bbafe82", "ünï 名前 😀", "\x00\n", "x" * 2048])
def test_keeps_the_owner_to_the_letter(shorten: Function, links: Table, user: str) -> None:
    answer = shorten(post({"long_url": URL, "code": "mine"}, user))
    assert json.loads(answer["body"])["owner_id"] == user
    assert links.rows()["mine"]["owner_id"] == {"S": user}


@pytest.mark.parametrize("user", ["user-0", "user-1"])
def test_a_taken_code_is_a_conflict_and_the_link_stays(shorten: Function, links: Table, user: str) -> None:
    stored = links.put("mine")
    answer = shorten(post({"long_url": URL, "code": "mine"}, user))
    assert answer["statusCode"] == HTTPStatus.CONFLICT
    assert "mine" in error(answer)
    assert links.rows() == {"mine": stored}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "long_url"),
        ({"code": "mine"}, "long_url"),
        ({"LONG_URL": URL}, "long_url"),
        ({"long_url": None}, "long_url"),
        ({"long_url": 1}, "long_url"),
        ({"long_url": True}, "long_url"),
        ({"long_url": [URL]}, "long_url"),
        ({"long_url": {"url": URL}}, "long_url"),
        ({"long_url": ""}, "long_url"),
        ({"long_url": "example.com"}, "long_url"),
        ({"long_url": "/relative"}, "long_url"),
        ({"long_url": "//example.com/"}, "long_url"),
        ({"long_url": "https://"}, "long_url"),
        ({"long_url": "https:///path"}, "long_url"),
        ({"long_url": "ftp://example.com/"}, "long_url"),
        ({"long_url": "javascript:alert(1)"}, "long_url"),
        ({"long_url": "data:text/html,x"}, "long_url"),
        ({"long_url": f" {URL}"}, "long_url"),
        ({"long_url": f"{URL}\n"}, "long_url"),
        ({"long_url": "https://example.com/a b"}, "long_url"),
        ({"long_url": "https://example.com/\r\nSet-Cookie: a=b"}, "long_url"),
        ({"long_url": "https://example.com/\x00"}, "long_url"),
        ({"long_url": "https://example.com/\x7f"}, "long_url"),
        ({"long_url": "https://example.com/\ud800"}, "long_url"),
        ({"long_url": "https://example.com/".ljust(2049, "x")}, "long_url"),
        ({"long_url": "http://127.0.0.1:4566/_aws/execute-api/5407c0de/dev/r/mine"}, "long_url"),
        ({"long_url": URL, "code": None}, "code"),
        ({"long_url": URL, "code": ""}, "code"),
        ({"long_url": URL, "code": 1}, "code"),
        ({"long_url": URL, "code": False}, "code"),
        ({"long_url": URL, "code": ["mine"]}, "code"),
        ({"long_url": URL, "code": {}}, "code"),
        ({"long_url": URL, "code": "x" * 65}, "code"),
        ({"long_url": URL, "code": "mine\n"}, "code"),
        ({"long_url": URL, "code": " mine"}, "code"),
        ({"long_url": URL, "code": "mi ne"}, "code"),
        ({"long_url": URL, "code": "../mine"}, "code"),
        ({"long_url": URL, "code": "mi.ne"}, "code"),
        ({"long_url": URL, "code": "mi%6Ee"}, "code"),
        ({"long_url": URL, "code": "mïne"}, "code"),
        ({"long_url": URL, "code": "\uff11"}, "code"),
        ({"long_url": URL, "code": "\ud800"}, "code"),
        (None, "body"),
        (1, "body"),
        (True, "body"),
        ("text", "body"),
        (URL, "body"),
        ([], "body"),
        ([{"long_url": URL}], "body"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(
    shorten: Function, links: Table, body: object, field: str
) -> None:
    answer = shorten(post(body))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith(f"{field} ")
    assert links.rows() == {}


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "{",
        "long_url=https://example.com/",
        "{'long_url': 'https://example.com/'}",
        '{"long_url": "https://example.com/",}',
        '{"long_url": "https://example.com/"} {}',
        '{"long_url": "https://example.com/\n"}',
        '\ufeff{"long_url": "https://example.com/"}',
        '{"long_url": "https://example.com/", "x": NaN}',
        '{"long_url": "https://example.com/", "x": -Infinity}',
        f'{{"long_url": "https://example.com/", "x": {"9" * 5_000}}}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:60]),
)
def test_a_body_that_is_not_json_is_refused(shorten: Function, links: Table, body: str) -> None:
    for event in (post_text(body), post_bytes(body.encode())):
        answer = shorten(event)
        assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
        assert error(answer).startswith("body ")
    assert links.rows() == {}


@pytest.mark.parametrize("name", ["shorten", "shorten-base64"])
@pytest.mark.parametrize("given", [{}, {"body": None}, {"body": ""}], ids=str)
def test_a_missing_body_is_refused(shorten: Function, links: Table, name: str, given: Event) -> None:
    event = recorded(name)
    del event["body"]  # as the gateway has it
    answer = shorten(event | given)
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("body ")
    assert links.rows() == {}


@pytest.mark.parametrize(
    "body",
    [
        "!",
        "eyJ",
        'e30=\n{"long_url": "https://example.com/"}',
        '{"long_url": "https://example.com/"}',
        "é",
        base64.b64encode(b'{"long_url": "https://example.com/\xff"}').decode(),
        base64.b64encode('{"long_url": "https://example.com/"}'.encode("utf-16")).decode(),
        base64.b64encode(bytes(range(256))).decode(),
    ],
)
def test_a_base64_body_that_does_not_decode_is_refused(shorten: Function, links: Table, body: str) -> None:
    answer = shorten(recorded("shorten-base64") | {"body": body})
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("body ")
    assert links.rows() == {}


def test_rules_hold_for_a_base64_body_too(shorten: Function, links: Table) -> None:
    answer = shorten(post_bytes(b'{"long_url": "ftp://example.com/"}'))
    assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
    assert error(answer).startswith("long_url ")
    assert links.rows() == {}


def test_a_url_of_2048_characters_is_stored(shorten: Function, links: Table) -> None:
    url = "https://example.com/".ljust(2048, "x")
    assert shorten(post({"long_url": url, "code": "mine"}))["statusCode"] == HTTPStatus.CREATED
    assert links.rows()["mine"]["long_url"] == {"S": url}


def test_the_answer_tells_the_url_as_it_is_stored(shorten: Function, links: Table) -> None:
    answer = shorten(post({"long_url": "https://bücher.example/größe", "code": "mine"}))
    stored = "https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe"
    assert json.loads(answer["body"])["long_url"] == stored
    assert links.rows()["mine"]["long_url"] == {"S": stored}


def test_one_url_may_have_many_codes(shorten: Function, links: Table) -> None:
    codes = {json.loads(shorten(post({"long_url": URL}))["body"])["code"] for _ in range(20)}
    assert len(codes) == 20
    assert set(links.rows()) == codes


def draw(monkeypatch: pytest.MonkeyPatch, *codes: str) -> Iterator[str]:
    """Draw these codes, in order; return the characters that were not drawn yet."""
    characters = iter("".join(codes))
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

    def choice(among: str) -> str:
        assert sorted(among) == sorted(alphabet)
        return next(characters)

    monkeypatch.setattr(secrets, "choice", choice)
    return characters


def test_draws_six_characters_from_secrets(shorten: Function, links: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(monkeypatch, "abc789", "unused")
    answer = shorten(post({"long_url": URL}))
    assert json.loads(answer["body"])["code"] == "abc789"
    assert list(links.rows()) == ["abc789"]


def test_a_drawn_code_that_is_taken_is_drawn_again(
    shorten: Function, links: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {code: links.put(code) for code in ("taken1", "taken2")}
    draw(monkeypatch, "taken1", "taken2", "taken1", "free00")
    answer = shorten(post({"long_url": URL}))
    assert answer["statusCode"] == HTTPStatus.CREATED
    assert answer["headers"]["Location"] == "r/free00"
    rows = links.rows()
    assert rows.pop("free00")["long_url"] == {"S": URL}
    assert rows == stored


def test_stops_drawing_after_a_few_codes_that_are_taken(
    shorten: Function, links: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = links.put("taken1")
    left = draw(monkeypatch, *["taken1"] * 100)
    answer = shorten.invoke(post({"long_url": URL}))
    assert answer["statusCode"] == HTTPStatus.INTERNAL_SERVER_ERROR
    assert error(answer) == "internal error"
    assert links.rows() == {"taken1": stored}
    assert len(list(left)) >= 6 * 80  # "a few times"


def test_a_code_asked_for_is_not_drawn(shorten: Function, links: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    links.put("mine")
    draw(monkeypatch)
    for code, status in (("mine", HTTPStatus.CONFLICT), ("free", HTTPStatus.CREATED)):
        assert shorten(post({"long_url": URL, "code": code}))["statusCode"] == status


def test_a_link_is_the_callers_though_the_answer_to_its_first_try_was_lost(links: Table) -> None:
    lost: list[Request] = []

    def lose_first(request: Request) -> None:
        if request.operation == "PutItem" and not lost:
            lost.append(request)
            raise Drop(done=True)

    with proxy(links.engine, lose_first) as url:
        shorten = load("shorten", TABLE=NAME, AWS_ENDPOINT_URL=url)
        for status in (HTTPStatus.CREATED, HTTPStatus.CONFLICT):
            assert shorten(post({"long_url": URL, "code": "mine"}))["statusCode"] == status
        shorten.modules["common.table"].dynamodb.close()
    assert lost
    assert list(links.rows()) == ["mine"]
