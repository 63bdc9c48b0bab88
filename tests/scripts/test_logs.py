"""scripts/logs.sh: follow what the functions log, and find a request by the ID that the client got."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import builds
from project import DEFAULTS, FUNCTION_NAMES, Project
from session import session
from stack.aws import Aws, Local
from stack.commands import logs, status
from stack.model import Function, Route
from stack.settings import Settings

HANDLER = "lambdas/redirect/handler.py"
TAKES = 'code = event["pathParameters"]["code"]\n'
FAILS = """    if code == "fail":
        raise LookupError(f"no link for {event['headers']} \\x1b[31m") from OSError(event["headers"]["authorization"])
    if code == "library":
        int("x")
    if code == "common":
        peek(None, 0)
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
ENTRY = 'Function("plain", routes=(Route("GET /plain/{code}"),))'
DEFINITION = builds.with_function(Function("plain", routes=(Route("GET /plain/{code}"),)))
LINK = {"long_url": "https://example.com/"}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a stack whose redirect function fails for some codes, and with a function that uses none of common/."""
    project = Project.copy(tmp_path_factory.mktemp("logs"))
    handler = project.folder / HANDLER
    text = handler.read_text()
    assert text.count(TAKES) == 1
    handler.write_text(text.replace(TAKES, TAKES + FAILS))
    plain = project.folder / "lambdas/plain"
    plain.mkdir()
    (plain / "handler.py").write_text(PLAIN)
    project.define(f"        {ENTRY},\n")
    with builds.engine_of(project):
        builds.succeed(project, DEFINITION)
        yield project


def line_of(project: Project, text: str) -> str:
    lines = (project.folder / HANDLER).read_text().splitlines()
    return f"{HANDLER}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def lines(project: Project, answer: httpx.Response) -> list[str]:
    """Return what is shown of the request that had this answer, a line each."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(logs, "PROJECT", project.folder)
        assert logs.show(project.stack.client("logs"), DEFINITION, answer.headers["apigw-requestid"])
    return printed.getvalue().splitlines()


def ask_plain(project: Project, code: str) -> httpx.Response:
    with project.stack.http() as client:
        return client.get(f"/plain/{code}")


def test_shows_the_authorizer_and_the_function_of_a_request(up: Project) -> None:
    answer = up.stack.shorten(LINK)
    assert answer.status_code == 201
    request_id = answer.headers["apigw-requestid"]
    authorizer, shorten = up.check("scripts/logs.sh", request_id).splitlines()[-2:]  # after what an install prints
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


def test_a_request_that_the_gateway_refused_reached_no_function(up: Project) -> None:
    with up.stack.http() as client:
        answer = client.post("/shorten", json=LINK)
    assert answer.status_code == 401
    request_id = answer.headers["apigw-requestid"]
    done = up.run("scripts/logs.sh", request_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"error: no function logged the request {request_id} in the last 24 hours: "
        r".*; what the gateway answers by itself reaches no function\n",
        done.stderr,
    )


def test_help_says_how_far_back_it_looks(up: Project) -> None:
    assert "the last 24 hours" in up.check("scripts/logs.sh", "--help")


def test_a_handler_without_anything_of_this_project_works_and_its_prints_are_shown(up: Project) -> None:
    answer = ask_plain(up, "ok")
    request_id = answer.headers["apigw-requestid"]
    step, *said = lines(up, answer)
    assert (answer.text, answer.headers["content-type"]) == ("hello", "text/plain")
    assert re.fullmatch(rf"\S+  plain +\d+ ms  {request_id}", step)
    assert said == [f"    WARNING warned {request_id}", "    said ok"]
    failed = lines(up, ask_plain(up, "fail"))
    assert '      File "lambdas/plain/handler.py", line 7, in handler' in failed
    assert failed[-1] == "    KeyError: 'plain'"


def test_what_a_request_printed_and_recorded_is_under_its_step_at_the_level_of_the_settings(up: Project) -> None:
    answer = up.stack.follow("says")
    step, *said = lines(up, answer)
    assert " redirect   GET /r/{code}     404 " in step
    assert said[:2] == ["    printed says", "    INFO    recorded says"]
    assert said[2] == "    ERROR   caught"
    assert any(line.startswith(f'      File "{HANDLER}", line ') for line in said)
    assert "not recorded" not in "\n".join(said)


def test_follows_functions_with_the_ids_of_the_requests(up: Project) -> None:
    answers = [up.stack.follow("library"), up.stack.follow("says"), ask_plain(up, "ok"), up.stack.shorten(LINK)]
    library, says, plain, _ = (answer.headers["apigw-requestid"] for answer in answers)
    with session(up, "scripts/logs.sh", "redirect", "plain") as window:
        window.shows(f"redirect   printed says  {says}\n")
        window.shows(f"redirect   INFO    recorded says  {says}\n")
        window.shows(f"plain      said ok  {plain}\n")
        unknown = up.stack.follow("unknown").headers["apigw-requestid"]
        window.shows(unknown)
        assert window.interrupt() == 0
    assert re.search(rf" redirect   GET /r/{{code}}     404 +[\d.]+ ms  {unknown}\n", window.printed)
    failed, following = window.printed.partition(library)[2].splitlines()[:2]
    assert failed.startswith("  ValueError: invalid literal for int()")
    assert re.match(r"\d\d:\d\d:\d\d  ", following)  # and no traceback
    assert "shorten" not in window.printed


def test_failures_are_the_last_errors_of_the_status(up: Project) -> None:
    up.stack.follow("common")
    ask_plain(up, "fail")
    settings = Settings.from_environment({**DEFAULTS, **up.settings})
    found = status.errors(Aws(("logs",), Local(settings.host_port, "us-east-1")), ["redirect", "plain"], settings)
    common, plain = [error["line"] for error in found][-2:]
    assert re.fullmatch(r"\S+  redirect +GET /r/\{code\} +500 .* TypeError: .* at lambdas/common/links.py:\d+", common)
    assert re.fullmatch(r"\S+  plain +\[ERROR\] KeyError: 'plain'", plain)


def test_a_function_that_there_is_not_is_refused(up: Project) -> None:
    done = up.run("scripts/logs.sh", "redirekt")
    assert (done.returncode, done.stdout) == (1, "")
    said = f"error: 'redirekt' is neither a function (plain, {', '.join(FUNCTION_NAMES)}) nor a whole request ID"
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("JKJaXmPLvHcESH+=",)], ids=["follow", "AWS's ID"])
def test_without_a_stack_it_says_how_to_get_one(project: Project, arguments: tuple[str, ...]) -> None:
    done = project.run("scripts/logs.sh", *arguments)
    assert done.returncode == 1
    assert done.stderr == f"error: nothing answers at {project.engine}: start the engine first (scripts/up.sh)\n"


def test_a_failed_invocation_is_in_the_log_as_one_line(up: Project) -> None:
    answer = up.stack.follow("library")
    events = up.stack.client("logs").filter_log_events(
        logGroupName="/aws/lambda/redirect", filterPattern=f'"{answer.headers["apigw-requestid"]}"'
    )["events"]
    (event,) = [one for one in events if one["message"].startswith("{")]
    assert event["message"].count("\n") <= 1
    assert Path(HANDLER).name in event["message"]
