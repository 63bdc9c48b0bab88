"""Find a request in the logs by the ID that the client got."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from project import Project, until
from session import session

HANDLER = "lambdas/redirect/handler.py"
TAKES = 'code = event["pathParameters"]["code"]\n'
FAILS = """    if code == "fail":
        raise LookupError(f"no link for {event['headers']} \\x1b[31m") from OSError(event["headers"]["authorization"])
    if code == "library":
        int("x")
    if code == "says":
        import logging

        print("printed", code)
        logger = logging.getLogger(__name__)
        logger.info("recorded %s", code)
        logger.debug("not recorded")
        try:
            int("x")
        except ValueError:
            logger.exception("caught")
"""
PLAIN = """import logging

def handler(event, context):
    logging.getLogger(__name__).warning("warned %s", context.aws_request_id)
    print("said", event["pathParameters"]["code"])
    if event["pathParameters"]["code"] == "fail":
        raise KeyError("plain")
    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "hello"}
"""
LINK = {"long_url": "https://example.com/"}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a stack whose redirect function fails for two codes."""
    project = Project.copy(tmp_path_factory.mktemp("logs"))
    handler = project.folder / HANDLER
    text = handler.read_text()
    assert text.count(TAKES) == 1
    handler.write_text(text.replace(TAKES, TAKES + FAILS))
    project.up()
    yield project
    project.down()


def line_of(project: Project, text: str) -> str:
    lines = (project.folder / HANDLER).read_text().splitlines()
    return f"{HANDLER}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def lines(project: Project, answer: httpx.Response) -> list[str]:
    """Return what logs.sh shows of the request that had this answer, a line each."""
    printed = project.check("scripts/logs.sh", answer.headers["apigw-requestid"]).splitlines()
    return [line for line in printed if not line.startswith("==> ")]  # which an install prints, the first time


def test_shows_the_authorizer_and_the_function_of_a_request(up: Project) -> None:
    answer = up.stack.shorten(LINK)
    assert answer.status_code == 201
    authorizer, shorten = lines(up, answer)
    request_id = re.escape(answer.headers["apigw-requestid"])
    assert re.fullmatch(rf"\S+  authorizer POST /shorten +allow +[\d.]+ ms  {request_id}", authorizer)
    assert re.fullmatch(rf"\S+  shorten +POST /shorten +201 +[\d.]+ ms  {request_id}", shorten)


def test_shows_one_request_of_many(up: Project) -> None:
    answers = [up.stack.follow(f"unknown-{number}") for number in range(3)]
    assert len({answer.headers["apigw-requestid"] for answer in answers}) == 3
    for answer in answers:
        (line,) = lines(up, answer)
        assert "GET /r/{code}     404" in line


def test_shows_why_a_token_was_refused(up: Project) -> None:
    for token, reason in (
        (up.stack.token(secret="a secret of another stack, of 32 bytes"), "signature"),
        (up.stack.token(now=0), "expired"),
        ("x", "malformed"),
    ):
        with up.stack.http(headers={"Authorization": f"Bearer {token}"}) as client:
            answer = client.post("/shorten", json=LINK)
        assert (answer.status_code, answer.text.replace(" ", "")) == (403, '{"message":"Forbidden"}')
        (line,) = lines(up, answer)
        assert re.search(rf" deny +[\d.]+ ms  {answer.headers['apigw-requestid']}  {reason}$", line)


def test_shows_a_failure_with_its_place_and_traceback_and_without_the_token(up: Project) -> None:
    token = up.stack.token()
    with up.stack.http(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = client.get("/r/fail")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    line, *traceback = lines(up, answer)
    assert " 500 " in line
    assert "  LookupError: no link for {'host': " in line
    assert line.endswith(f" at {line_of(up, 'raise LookupError')}")
    assert traceback[0] == "    OSError: Bearer ***"
    assert "    The above exception was the direct cause of the following exception:" in traceback
    assert traceback[-1].startswith("    LookupError: no link for {'host': ")
    assert all(one.startswith("    ") or not one for one in traceback)
    shown = "\n".join([line, *traceback])
    assert "'authorization': ***" in shown
    assert not [part for part in token.split(".") if part in shown]
    assert "\\x1b[31m" in shown
    assert "\x1b" not in shown


def test_shows_the_function_s_own_line_of_a_failure_in_the_library(up: Project) -> None:
    line, *_ = lines(up, up.stack.follow("library"))
    assert line.endswith(f"  ValueError: invalid literal for int() with base 10: 'x' at {line_of(up, 'int(')}")


def test_finds_the_request_that_a_line_of_the_logs_names(up: Project) -> None:
    answer = up.stack.follow("library")
    with session(up, "scripts/logs.sh", "redirect") as window:
        window.shows(answer.headers["apigw-requestid"])
        window.interrupt()
    assert "ValueError: invalid literal for int()" in window.printed
    assert "Traceback" not in window.printed


@pytest.mark.parametrize("request_id", ["11111111-1111-4111-8111-111111111111", "JKJaXmPLvHcESH+="])
def test_an_id_that_no_line_has_is_an_error_of_one_line(up: Project, request_id: str) -> None:
    done = up.run("scripts/logs.sh", request_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"error: no function logged the request {re.escape(request_id)} in the last 24 hours: .*\n", done.stderr
    )


def test_a_request_that_the_gateway_refused_reached_no_function(up: Project) -> None:
    with up.stack.http() as client:
        answer = client.post("/shorten", json=LINK)
    assert answer.status_code == 401
    done = up.run("scripts/logs.sh", answer.headers["apigw-requestid"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "what the gateway answers by itself reaches no function" in done.stderr


def test_help_says_how_far_back_it_looks(up: Project) -> None:
    assert "the last 24 hours" in up.check("scripts/logs.sh", "--help")


def test_a_handler_without_anything_of_this_project_works_and_its_prints_are_shown(up: Project) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler.py", PLAIN)
    up.stack.client("lambda").update_function_code(FunctionName="redirect", ZipFile=package.getvalue())
    try:
        until("the plain handler serves", lambda: up.stack.follow("plain").status_code == 200)
        answer = up.stack.follow("plain")
        request_id = answer.headers["apigw-requestid"]
        with session(up, "scripts/logs.sh", "redirect") as window:
            window.shows(f"redirect   said plain  {request_id}")
        step, *said = lines(up, answer)
        failed = lines(up, up.stack.follow("fail"))
    finally:
        up.up()
    assert (answer.text, answer.headers["content-type"]) == ("hello", "text/plain")
    assert re.fullmatch(rf"\S+  redirect +\d+ ms  {request_id}", step)
    assert said == [f"    WARNING warned {request_id}", "    said plain"]
    assert f'      File "{HANDLER}", line 7, in handler' in failed
    assert failed[-1] == "    KeyError: 'plain'"


def test_what_a_request_printed_and_recorded_is_under_its_step_at_the_level_of_the_settings(up: Project) -> None:
    answer = up.stack.follow("says")
    step, *said = lines(up, answer)
    assert " redirect   GET /r/{code}     404 " in step
    assert said[:2] == ["    printed says", "    INFO    recorded says"]
    assert said[2] == "    ERROR   caught"
    assert any(line.startswith(f'      File "{HANDLER}", line ') for line in said)
    assert "not recorded" not in "\n".join(said)


def test_follows_what_is_printed_and_recorded_with_the_request_s_id(up: Project) -> None:
    answer = up.stack.follow("says")
    request_id = answer.headers["apigw-requestid"]
    with session(up, "scripts/logs.sh", "redirect") as window:
        window.shows(f"redirect   printed says  {request_id}")
        window.shows(f"redirect   INFO    recorded says  {request_id}")
        window.interrupt()


def test_a_failed_invocation_is_in_the_log_as_one_line(up: Project) -> None:
    answer = up.stack.follow("library")
    events = up.stack.client("logs").filter_log_events(
        logGroupName="/aws/lambda/redirect", filterPattern=f'"{answer.headers["apigw-requestid"]}"'
    )["events"]
    (event,) = [one for one in events if one["message"].startswith("{")]
    assert event["message"].count("\n") <= 1
    assert Path(HANDLER).name in event["message"]
