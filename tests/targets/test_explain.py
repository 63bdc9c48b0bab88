"""Whatever the AWS SDK raises is one line that says what is wrong and what to do."""

import inspect
import socket
from collections.abc import Callable
from typing import Any

import botocore.exceptions as sdk
import pytest

from listener import answer, listener
from project import free_port
from stack.aws import Aws, Local, Remote
from stack.aws_errors import ADVICE, EXPLAINED, explain


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("stack.aws.OPTIONS", {"retries": {"total_max_attempts": 1}, "read_timeout": 0.2})


def said_of(call: Callable[[], object]) -> str:
    with pytest.raises(EXPLAINED) as caught:
        call()
    line = explain(caught.value)
    assert "\n" not in line
    return line


def test_every_error_of_the_sdk_is_one_line() -> None:
    """Each without any of the facts that the SDK would give it."""
    for _, kind in inspect.getmembers(sdk, inspect.isclass):
        if issubclass(kind, sdk.BotoCoreError):
            make: Any = kind.__new__
            error = make(kind)
            Exception.__init__(error, "its own\nwords")
            line = explain(error)
            assert line, kind
            assert "\n" not in line, kind
            assert "{" not in line, kind


def test_every_advice_is_for_an_error_that_no_earlier_one_takes() -> None:
    seen: list[type[Exception]] = []
    for kinds, _ in ADVICE:
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            assert not [earlier for earlier in seen if issubclass(kind, earlier)], kind
        seen += kinds if isinstance(kinds, tuple) else (kinds,)


def test_a_server_that_is_not_aws_ends_in_one_line() -> None:
    operations = {
        "sts": "get_caller_identity",
        "dynamodb": "list_tables",
        "apigatewayv2": "get_apis",
        "lambda": "list_functions",
        "logs": "describe_log_groups",
        "iam": "list_roles",
    }
    with listener() as server:
        for target in (Remote(server.url), Local(int(server.url.rsplit(":", 1)[1]), "us-east-1")):
            aws = Aws(tuple(operations), target)
            for status in ("200 OK", "404 Not Found", "500 Oops"):
                for body in ("<html>It works!</html>", "", "{}", '{"a": 1}', "<a/>", "[]", "null", "\0"):
                    server.answer = answer(status, body)
                    for service, operation in operations.items():
                        assert said_of(getattr(aws[service], operation)), (status, body, service)


def test_a_server_that_takes_requests_and_answers_none_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert said_of(lambda: Aws(("sts",), Remote(url)).identity) == (
            f"{url}/ takes requests but does not answer: see its log, or try again"
        )


def test_a_server_that_hangs_up_is_named() -> None:
    with listener(b"") as server:
        line = said_of(lambda: Aws(("sts",), Remote(server.url)).identity)
    assert line == f"{server.url}/ closes connections without an answer: see its log, or try again"


def test_a_server_without_tls_is_named() -> None:
    with listener() as server:
        url = server.url.replace("http:", "https:")
        assert said_of(lambda: Aws(("sts",), Remote(url)).identity).startswith(f"the certificate of {url}/ is not acc")


def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with listener() as server:
        line = said_of(lambda: Aws(("sts",), Remote(server.url)).identity)
    assert line == f"the proxy {proxy} does not answer: fix or unset HTTPS_PROXY and HTTP_PROXY"


def test_a_wrong_call_and_a_vain_wait_are_one_line_each() -> None:
    with listener(answer("404 Not Found", '{"__type": "ResourceNotFoundException"}')) as server:
        dynamodb = Aws(("dynamodb",), Remote(server.url))["dynamodb"]
        assert said_of(lambda: dynamodb.list_tables(Limit="a")).startswith("the AWS SDK gave up: Parameter val")
        waiter = dynamodb.get_waiter("table_exists")
        vain = {"Delay": 0, "MaxAttempts": 1}
        line = said_of(lambda: waiter.wait(TableName="table", WaiterConfig=vain))
    assert line.startswith("what was made did not become ready (")


def test_a_token_is_never_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "s3cret\n")
    with listener() as server:
        line = said_of(lambda: Aws(("sts",), Remote(server.url)).identity)
    assert "s3cret" not in line
    assert line.startswith("the AWS access key or the session token has a line end ")
