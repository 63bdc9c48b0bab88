"""The line that each invocation logs."""

import json
import logging
import re
from typing import Any

import pytest

from . import table as tables
from .events import Event, authorize, get, head, post, post_text, recorded
from .functions import CONTEXT, Function, invocation, load
from .table import Table
from .tokens import NOW, SECRET, token

URL = "https://example.com/very-private"
Output = pytest.CaptureFixture[str]


def record(printed: str) -> dict[str, Any]:
    """The one line of a log, which is JSON."""
    (line,) = printed.splitlines()
    fields: dict[str, Any] = json.loads(line)
    return fields


@pytest.fixture
def functions(shorten: Function, redirect: Function, authorizer: Function, links: Table) -> dict[str, Function]:
    links.put("mine", URL)
    return {"shorten": shorten, "redirect": redirect, "authorizer": authorizer}


@pytest.mark.parametrize(
    ("name", "event", "route", "status"),
    [
        ("shorten", post({"long_url": URL}), "POST /shorten", 201),
        ("shorten", post({"long_url": URL, "code": "mine"}), "POST /shorten", 409),
        ("shorten", post_text(URL), "POST /shorten", 400),
        ("redirect", get("mine"), "GET /r/{code}", 302),
        ("redirect", head("mine"), "HEAD /r/{code}", 302),
        ("redirect", get("unknown"), "GET /r/{code}", 404),
        ("authorizer", authorize(f"Bearer {token()}"), "POST /shorten", "allow"),
        ("authorizer", authorize(f"Bearer {token()}x"), "POST /shorten", "deny"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invocation_logs_one_line(
    functions: dict[str, Function], capsys: Output, name: str, event: Event, route: str, status: object
) -> None:
    _, printed = invocation(functions[name], event, capsys)
    fields = record(printed)
    ms = fields.pop("ms")
    assert isinstance(ms, float)
    assert 0 <= ms < 60_000
    assert fields == {
        "level": "INFO",
        "request_id": event["requestContext"]["requestId"],
        "route": route,
        "status": status,
    }


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("shorten", post({"long_url": URL})),
        ("shorten", post({"long_url": f"{URL} "})),
        ("shorten", post_text(URL)),
        ("redirect", get("mine")),
        ("authorizer", authorize(f"Bearer {token()}")),
        ("authorizer", authorize(f"Basic {token()}")),
        ("authorizer", authorize(f"Bearer {SECRET}")),
    ],
)
def test_the_line_quotes_neither_token_nor_secret_nor_url(
    functions: dict[str, Function], capsys: Output, name: str, event: Event
) -> None:
    event["headers"]["authorization"] = event["headers"].get("authorization", f"Bearer {token()}")
    _, printed = invocation(functions[name], event, capsys)
    record(printed)
    for private in ("earer", "eyJ", SECRET, token().rpartition(".")[2], "private", "example.com", "user-1"):
        assert private not in printed


def broken(function: Function, patch: pytest.MonkeyPatch) -> Function:
    """The function with an error inside, whose text quotes what must stay private."""

    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError(f"{SECRET} {URL}")

    for name in ("read_request", "click", "verify"):
        if hasattr(function.handler, name):
            patch.setattr(function.handler, name, fail)
    return function


INTERNAL_ERROR = {
    "statusCode": 500,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"error": "internal error"}),
}


@pytest.mark.parametrize(
    ("name", "event", "fallback", "status"),
    [
        ("shorten", post({"long_url": URL}), INTERNAL_ERROR, 500),
        ("redirect", get("mine"), INTERNAL_ERROR, 500),
        ("authorizer", authorize(f"Bearer {token()}"), {"isAuthorized": False}, "deny"),
    ],
    ids=["shorten", "redirect", "authorizer"],
)
def test_an_exception_gives_the_fallback_and_an_error_line(
    functions: dict[str, Function],
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    event: Event,
    fallback: dict[str, Any],
    status: object,
) -> None:
    answer, printed = invocation(broken(functions[name], monkeypatch), event, capsys)
    assert answer == fallback
    fields = record(printed)
    assert (fields["level"], fields["status"], fields["error"]) == ("ERROR", status, "RuntimeError")
    assert fields["request_id"] == event["requestContext"]["requestId"]
    assert re.fullmatch(r"test_log\.py:\d+", fields["at"])
    for private in (SECRET, URL, "Traceback"):
        assert private not in printed + json.dumps(answer)


def test_a_failed_call_of_dynamodb_is_a_500_that_tells_nothing(table: Table, capsys: Output) -> None:
    function = load("redirect", TABLE="no-such-table", AWS_ENDPOINT_URL=table.engine)
    answer, printed = invocation(function, get("mine"), capsys)
    function.modules["common.table"].dynamodb.close()
    assert answer == INTERNAL_ERROR
    fields = record(printed)
    assert (fields["level"], fields["error"]) == ("ERROR", "ResourceNotFoundException")
    assert "no-such-table" not in printed


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        *(("", 1), ("DEBUG", 1), ("INFO", 1), ("info", 1), ("nonsense", 1)),
        *(("WARNING", 0), ("warning", 0), ("ERROR", 0), ("CRITICAL", 0)),
    ],
)
def test_log_level_silences_the_line(capsys: Output, level: str, lines: int) -> None:
    function = load("authorizer", JWT_SECRET=SECRET, LOG_LEVEL=level)
    _, printed = invocation(function, recorded("authorizer"), capsys)
    assert len(printed.splitlines()) == lines


@pytest.mark.parametrize("name", ["shorten", "redirect"])
def test_log_level_silences_the_routes_functions_too(table: Table, capsys: Output, name: str) -> None:
    function = load(name, TABLE=tables.NAME, AWS_ENDPOINT_URL=table.engine, LOG_LEVEL="WARNING")
    event = post({"long_url": URL}) if name == "shorten" else get("mine")
    _, printed = invocation(function, event, capsys)
    function.modules["common.table"].dynamodb.close()
    assert printed == ""


@pytest.mark.parametrize(("level", "lines"), [("WARNING", 1), ("ERROR", 1), ("CRITICAL", 0)])
def test_an_error_is_logged_up_to_its_level(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, level: str, lines: int
) -> None:
    function = broken(load("authorizer", JWT_SECRET=SECRET, LOG_LEVEL=level), monkeypatch)
    answer, printed = invocation(function, recorded("authorizer"), capsys)
    assert answer == {"isAuthorized": False}
    assert [json.loads(line)["level"] for line in printed.splitlines()] == ["ERROR"] * lines


def test_a_request_id_that_the_gateway_did_not_give_is_lambdas(authorizer: Function, capsys: Output) -> None:
    _, printed = invocation(authorizer, {}, capsys)
    assert record(printed)["request_id"] == CONTEXT.aws_request_id


def test_a_line_stays_one_line(authorizer: Function, capsys: Output) -> None:
    event = recorded("authorizer") | {"routeKey": "GET /\r\n\u2028{x}"}
    _, printed = invocation(authorizer, event, capsys)
    assert record(printed)["route"] == "GET /\r\n\u2028{x}"


def test_nothing_is_logged_on_import(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load("authorizer", JWT_SECRET=SECRET).stop_clock(NOW)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
