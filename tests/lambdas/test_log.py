"""Read the line that each invocation logs."""

import json
import logging
from typing import Any

import pytest

from . import table as tables
from .events import Event, authorize, get, head, own, own_link, post, post_text, recorded
from .functions import CONTEXT, LAMBDAS, Function, invocation, load
from .table import Table
from .tokens import CLAIMS, NOW, SECRET, token

URL = "https://example.com/very-private"
Output = pytest.CaptureFixture[str]


def record(printed: str) -> dict[str, Any]:
    """Return the fields of the one line of a log."""
    (line,) = printed.splitlines()
    fields: dict[str, Any] = json.loads(line)
    return fields


@pytest.fixture
def functions(
    shorten: Function, redirect: Function, owners: Function, authorizer: Function, links: Table
) -> dict[str, Function]:
    links.put("mine", URL)
    return {"shorten": shorten, "redirect": redirect, "links": owners, "authorizer": authorizer}


@pytest.mark.parametrize(
    ("name", "event", "route", "status", "notes"),
    [
        ("shorten", post({"long_url": URL}), "POST /shorten", 201, {}),
        ("shorten", post({"long_url": URL, "code": "mine"}), "POST /shorten", 409, {}),
        ("shorten", post_text(URL), "POST /shorten", 400, {}),
        ("redirect", get("mine"), "GET /r/{code}", 302, {}),
        ("redirect", head("mine"), "HEAD /r/{code}", 302, {}),
        ("redirect", get("unknown"), "GET /r/{code}", 404, {}),
        ("links", own(), "GET /links", 200, {}),
        ("links", own(limit="0"), "GET /links", 400, {}),
        ("links", own_link("DELETE", "mine", "user-0"), "DELETE /links/{code}", 204, {}),
        ("authorizer", authorize(f"Bearer {token()}"), "POST /shorten", "allow", {}),
        ("authorizer", authorize(f"Bearer {token()}AAAA"), "POST /shorten", "deny", {"reason": "signature"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invocation_logs_one_line(
    functions: dict[str, Function],
    capsys: Output,
    name: str,
    event: Event,
    route: str,
    status: object,
    notes: dict[str, str],
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
        **notes,
    }


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("shorten", post({"long_url": URL})),
        ("shorten", post({"long_url": f"{URL} "})),
        ("shorten", post_text(URL)),
        ("redirect", get("mine")),
        ("links", own(user="user-1")),
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
    """Return the function with an error inside, whose text quotes what must stay private."""

    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError(f"{SECRET} of {URL}")

    patch.setenv("JWT_SECRET", SECRET)
    for module, name in (
        ("handler", "read_request"),
        ("handler", "verify"),
        ("handler", "click"),
        ("handler", "show_page"),
    ):
        if hasattr(function.modules.get(module), name):
            patch.setattr(function.modules[module], name, fail)
    return function


def line_of(file: str, text: str) -> str:
    """Return file and line of the only line of a function's file that has this text."""
    lines = (LAMBDAS / file).read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if text in line)
    return f"{file}:{number}"


INTERNAL_ERROR = {
    "statusCode": 500,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"error": "internal error"}),
}


@pytest.mark.parametrize(
    ("name", "event", "fallback", "status", "failing"),
    [
        ("shorten", post({"long_url": URL}), INTERNAL_ERROR, 500, "request = read_request(event, now)"),
        ("redirect", get("mine"), INTERNAL_ERROR, 500, "long_url = find(code, "),
        ("links", own(limit="2"), INTERNAL_ERROR, 500, "return show_page("),
        ("authorizer", authorize(f"Bearer {token()}"), {"isAuthorized": False}, "deny", "subject = verify("),
    ],
    ids=["shorten", "redirect", "links", "authorizer"],
)
def test_an_exception_gives_the_fallback_and_an_error_line(
    functions: dict[str, Function],
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    event: Event,
    fallback: dict[str, Any],
    status: object,
    failing: str,
) -> None:
    answer, printed = invocation(broken(functions[name], monkeypatch), event, capsys)
    assert answer == fallback
    fields = record(printed)
    assert (fields["level"], fields["status"], fields["error"]) == ("ERROR", status, "RuntimeError")
    assert fields["request_id"] == event["requestContext"]["requestId"]
    assert fields["message"] == f"*** of {URL}"
    assert fields["at"] == line_of(f"{name}/handler.py", failing)
    assert fields["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert fields["traceback"].endswith(f"RuntimeError: *** of {URL}\n")
    assert SECRET not in printed


def test_a_failed_call_of_dynamodb_is_a_500_whose_line_says_which_and_where(table: Table, capsys: Output) -> None:
    function = load("redirect", TABLE="no-such-table", AWS_ENDPOINT_URL=table.engine)
    answer, printed = invocation(function, get("mine"), capsys)
    function.modules["common.table"].dynamodb.close()
    assert answer == INTERNAL_ERROR
    fields = record(printed)
    assert (fields["level"], fields["error"]) == ("ERROR", "ResourceNotFoundException")
    assert fields["message"].startswith("An error occurred (ResourceNotFoundException) when calling the UpdateItem")
    assert fields["at"] == line_of("common/links.py", "answer = dynamodb.update_item(")
    assert "botocore/client.py" in fields["traceback"]  # which is the innermost of all
    assert "common/log.py" not in fields["traceback"]  # which only watches the function


def test_the_place_of_a_failure_in_the_standard_library_is_the_line_that_called_it(
    functions: dict[str, Function], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(code: str, now: float) -> object:
        return json.loads("{")

    monkeypatch.setattr(functions["redirect"].handler, "click", parse)
    _, printed = invocation(functions["redirect"], get("mine"), capsys)
    fields = record(printed)
    assert (fields["error"], fields["message"]) == (
        "JSONDecodeError",
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    )
    assert fields["at"] == line_of("redirect/handler.py", "long_url = find(code, ")


def test_a_chain_of_exceptions_is_logged_whole(
    functions: dict[str, Function], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chain(code: str, now: float) -> object:
        raise LookupError("no row") from OSError("no table")

    monkeypatch.setattr(functions["redirect"].handler, "click", chain)
    _, printed = invocation(functions["redirect"], get("mine"), capsys)
    fields = record(printed)
    assert (fields["error"], fields["message"]) == ("LookupError", "no row")
    assert "OSError: no table" in fields["traceback"]


def test_an_exception_that_has_no_text_is_logged_all_the_same(
    functions: dict[str, Function], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    def fail(code: str, now: float) -> object:
        raise UnprintableError

    monkeypatch.setattr(functions["redirect"].handler, "click", fail)
    answer, printed = invocation(functions["redirect"], get("mine"), capsys)
    assert answer == INTERNAL_ERROR
    fields = record(printed)
    assert fields["error"] == "UnprintableError"
    assert fields["message"] == "(its text cannot be had: ZeroDivisionError)"


@pytest.mark.parametrize("answer", [None, "text", {"body": "no status"}])
def test_an_answer_without_a_status_is_a_500_that_is_logged(
    functions: dict[str, Function], capsys: Output, answer: object
) -> None:
    function = functions["redirect"]
    log, http = function.modules["common.log"], function.modules["common.http"]
    decorate = log.logged(outcome=lambda answer: answer["statusCode"], fallback=http.INTERNAL_ERROR)

    def handler(event: Event, context: object) -> object:
        return answer

    assert decorate(handler)(get("mine"), CONTEXT)["statusCode"] == 500
    assert record(capsys.readouterr().out)["level"] == "ERROR"


@pytest.mark.parametrize("name", ["shorten", "redirect"])
def test_the_client_gets_the_id_that_is_logged(functions: dict[str, Function], capsys: Output, name: str) -> None:
    for event in (post({"long_url": URL}), post_text("")) if name == "shorten" else (get("mine"), get("unknown")):
        answer = functions[name].answer(event)
        assert answer["headers"]["apigw-requestid"] == record(capsys.readouterr().out)["request_id"]


def test_one_answer_never_has_the_id_of_another(
    functions: dict[str, Function], monkeypatch: pytest.MonkeyPatch
) -> None:
    function = broken(functions["redirect"], monkeypatch)
    for request_id in ("first", "second"):
        event = get("mine")
        event["requestContext"]["requestId"] = request_id
        assert function.answer(event)["headers"]["apigw-requestid"] == request_id
    assert "apigw-requestid" not in function.modules["common.http"].INTERNAL_ERROR["headers"]


def test_the_authorizers_answer_has_no_headers(functions: dict[str, Function]) -> None:
    for header in (f"Bearer {token()}", "Bearer x"):
        assert "headers" not in functions["authorizer"].answer(authorize(header))


def test_a_note_is_in_the_line_of_its_own_invocation_alone(functions: dict[str, Function], capsys: Output) -> None:
    reasons = []
    for presented in (f"{token()}AAAA", token(), token(claims=CLAIMS | {"exp": 1})):
        _, printed = invocation(functions["authorizer"], authorize(f"Bearer {presented}"), capsys)
        reasons.append(record(printed).get("reason"))
    assert reasons == ["signature", None, "expired"]


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
