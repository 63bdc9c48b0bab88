"""The deployment between failing calls: it repeats what may be repeated, publishes nothing that does not answer, and
converges on the next run."""

import re
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from engine_proxy import Drop, Reply, Request, proxy
from project import FUNCTION_NAMES, TLS, Project
from stack.definition import API_ID

# Calls of a build from nothing that has to wait for a function.
WAITING = [f"GET /2015-03-31/functions/{name}" for name in FUNCTION_NAMES]
# Every other call that it makes, with names for the IDs in it.
OPERATIONS = [
    "GetCallerIdentity",
    "DescribeTable",
    "CreateTable",
    "GetRole",
    "CreateRole",
    "PutRolePolicy",
    "GET /v2/apis",
    "POST /v2/apis",
    "GET /v2/apis/API",
    *(
        call.format(function)
        for function in FUNCTION_NAMES
        for call in (
            "GET /2015-03-31/functions/{}/configuration",
            "GET /2015-03-31/functions/{}/policy",
            "POST /2015-03-31/functions/{}/invocations",
            "POST /2015-03-31/functions/{}/policy",
        )
    ),
    "GET /2015-03-31/functions",
    "POST /2015-03-31/functions",
    "GET /v2/apis/API/integrations",
    "POST /v2/apis/API/integrations",
    "GET /v2/apis/API/authorizers",
    "POST /v2/apis/API/authorizers",
    "GET /v2/apis/API/routes",
    "POST /v2/apis/API/routes",
    "GET /v2/apis/API/stages/dev",
    "POST /v2/apis/API/stages",
    "POST /_aws/execute-api/API/dev/shorten",
    "GET /_aws/execute-api/API/dev/r/__deployment-probe__",
    "DeleteItem",
]
# One of each kind of step; the rest are for --search.
SOME = (
    "GetCallerIdentity",
    "CreateTable",
    "POST /v2/apis",
    "GET /2015-03-31/functions",
    "POST /2015-03-31/functions",
    "POST /v2/apis/API/routes",
    "POST /2015-03-31/functions/authorizer/policy",
    "POST /_aws/execute-api/API/dev/shorten",
    "DeleteItem",
)


def name_of(request: Request) -> str:
    return re.sub(rf"/{API_ID}\b", "/API", request.operation)


class Through:
    """The project, deployed to through a proxy, and the operations that came by."""

    def __init__(self, project: Project, fault: Callable[[str, int], Reply | None]) -> None:
        """``fault`` is asked with the operation's name, and how many calls of it there were before."""
        self.project = project
        self.seen: dict[str, int] = {}
        self._fault = fault
        self._lock = threading.Lock()

    def deploy(self) -> tuple[int, str]:
        """Exit code and everything printed."""

        def fault(request: Request) -> Reply | None:
            name = name_of(request)
            with self._lock:
                before = self.seen.get(name, 0)
                self.seen[name] = before + 1
            return self._fault(name, before)

        port = self.project.settings["HOST_PORT"]
        with proxy(self.project.engine, fault) as url:
            self.project.settings["HOST_PORT"] = url.rsplit(":", 1)[1]
            try:
                done = self.project.deploy()
            finally:
                self.project.settings["HOST_PORT"] = port
        return done.returncode, done.stdout + done.stderr


def empty(project: Project) -> None:
    httpx.post(f"{project.engine}/_ministack/reset", timeout=60, verify=TLS).raise_for_status()
    for file in project.outputs.iterdir():
        file.unlink()


def assert_one_stack(project: Project) -> None:
    """One of each, and it answers."""
    assert sorted(path.name for path in project.outputs.iterdir()) == ["api_id", "api_url"]
    stack = project.stack.__class__(f"{project.engine}/_aws/execute-api/{API_ID}/dev")
    gateway = stack.client("apigatewayv2")
    assert [api["ApiId"] for api in gateway.get_apis()["Items"]] == [API_ID]
    assert len(gateway.get_integrations(ApiId=API_ID)["Items"]) == 2
    assert len(gateway.get_authorizers(ApiId=API_ID)["Items"]) == 1
    assert len(gateway.get_routes(ApiId=API_ID)["Items"]) == 3
    assert stack.client("dynamodb").scan(TableName="shortlinks")["Items"] == []
    code = stack.shorten({"long_url": "https://example.com/"}).json()["code"]
    assert stack.follow(code).status_code == 302


def throttle() -> Reply:
    return Reply(429, "ThrottlingException", "Rate exceeded")


def fail() -> Reply:
    return Reply(500, "InternalFailure", "Internal failure")


def drop() -> Reply:
    raise Drop(done=False)


def lose_answer() -> Reply:
    raise Drop(done=True)


def answer_late() -> None:
    time.sleep(0.3)


def test_the_list_of_operations_is_what_a_build_calls(built: Project) -> None:
    empty(built)
    through = Through(built, lambda *_: None)
    assert through.deploy()[0] == 0
    assert sorted(set(through.seen) - {*WAITING}) == sorted(OPERATIONS)
    assert_one_stack(built)


@pytest.mark.parametrize("fault", [throttle, fail, drop, lose_answer, answer_late])
def test_a_fault_at_the_first_call_of_every_operation_is_overcome(
    built: Project, fault: Callable[[], Reply | None]
) -> None:
    empty(built)
    through = Through(built, lambda _, before: fault() if before == 0 else None)
    code, printed = through.deploy()
    assert code == 0, printed
    assert_one_stack(built)


@pytest.mark.parametrize(
    "operation", [one if one in SOME else pytest.param(one, marks=pytest.mark.search) for one in OPERATIONS]
)
def test_an_operation_that_is_refused_stops_the_build_and_the_next_run_converges(
    built: Project, operation: str
) -> None:
    empty(built)
    refusal = Reply(400, "AccessDeniedException", "not today")
    code, printed = Through(built, lambda name, _: refusal if name == operation else None).deploy()
    assert code == 1, printed
    assert "Traceback" not in printed
    assert len(re.findall("^error: ", printed, re.MULTILINE)) == 1
    assert list(built.outputs.iterdir()) == []
    assert built.deploy().returncode == 0
    assert_one_stack(built)
