"""The deployment between failing calls: it repeats what may be repeated, publishes nothing that does not answer, and
converges on the next run."""

import itertools
import re
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from botocore.retries.standard import ExponentialBackoff

import builds
from builds import FEW
from engine_proxy import Drop, Reply, Request, proxy
from project import Project

API_ID = FEW.api_id
FUNCTIONS = [FEW.function_name(function) for function in FEW.functions]
ROUTED = [function for function in FEW.functions if function.routes]
INVOKED = [*(FEW.function_name(function) for function in ROUTED), FEW.authorizer.function]
# Every call of a build from nothing, with names for the IDs in them.
OPERATIONS = [
    "GetCallerIdentity",
    "DescribeTable",
    "CreateTable",
    "DescribeTimeToLive",
    "UpdateTimeToLive",
    "DescribeContinuousBackups",
    "UpdateContinuousBackups",
    "ListTagsOfResource",
    "GetRole",
    "CreateRole",
    "PutRolePolicy",
    "ListRoles",
    "DescribeLogGroups",
    "CreateLogGroup",
    "PutRetentionPolicy",
    "DescribeAlarms",
    "GET /v2/apis",
    "POST /v2/apis",
    "GET /v2/apis/API",
    *(f"GET /2015-03-31/functions/{name}" for name in FUNCTIONS),
    *(f"{method} /2015-03-31/functions/{name}/policy" for name in INVOKED for method in ("GET", "POST")),
    "GET /2015-03-31/functions",
    "POST /2015-03-31/functions",
    "GET /v2/apis/API/integrations",
    "POST /v2/apis/API/integrations",
    "GET /v2/apis/API/integrations/ID",
    "GET /v2/apis/API/authorizers",
    "POST /v2/apis/API/authorizers",
    "GET /v2/apis/API/authorizers/ID",
    "GET /v2/apis/API/routes",
    "POST /v2/apis/API/routes",
    "GET /v2/apis/API/stages/dev",
    "POST /v2/apis/API/stages",
    "POST /_aws/execute-api/API/dev/shorten",
    "GET /_aws/execute-api/API/dev/r/__deployment-probe__",
    "DeleteItem",
]
# The calls that create something, each of which may meet another build.
CREATIONS = {
    "CreateTable": ("table shortlinks", "ResourceInUseException"),
    "CreateRole": ("role ", "EntityAlreadyExists"),
    "CreateLogGroup": ("log group ", "ResourceAlreadyExistsException"),
    "POST /2015-03-31/functions": ("function ", "ResourceConflictException"),
    "POST /2015-03-31/functions/redirect/policy": ("permission redirect", "ResourceConflictException"),
    "POST /v2/apis/API/routes": ("route ", "ConflictException"),
    "POST /v2/apis/API/integrations": ("integration ", "ConflictException"),
    "POST /v2/apis/API/authorizers": ("authorizer jwt-auth", "ConflictException"),
    "POST /v2/apis/API/stages": ("stage dev", "ConflictException"),
}
# In the order of a build, so that each is met on what the build before it has left; --search meets each from nothing.
SOME = (
    "CreateTable",
    "POST /v2/apis",
    "POST /2015-03-31/functions",
    "POST /v2/apis/API/routes",
    "POST /2015-03-31/functions/authorizer/policy",
    "DeleteItem",
)
STEADY = ("CreateTable", "POST /v2/apis/API/routes")  # the rest are for --search


def name_of(request: Request) -> str:
    named = re.sub(rf"/{API_ID}\b", "/API", request.operation)
    return re.sub(r"/(integrations|authorizers)/\w+$", r"/\1/ID", named)


class Through:
    """The project, deployed to through a proxy, and the operations that came by."""

    def __init__(self, project: Project, fault: Callable[[str, int], Reply | None]) -> None:
        """``fault`` is asked with the operation's name, and how many calls of it there were before."""
        self.project = project
        self.seen: dict[str, int] = {}
        self._fault = fault
        self._lock = threading.Lock()

    def build(self) -> builds.Done:
        def fault(request: Request) -> Reply | None:
            name = name_of(request)
            with self._lock:
                before = self.seen.get(name, 0)
                self.seen[name] = before + 1
            return self._fault(name, before)

        with proxy(self.project.engine, fault) as engine:
            return builds.run(self.project, FEW, engine=engine)


def assert_one_stack(project: Project) -> None:
    """Assert that there is one of each, and that it answers."""
    assert sorted(path.name for path in project.outputs.iterdir()) == ["api_id", "api_url"]
    stack = project.stack.__class__(f"{project.engine}/_aws/execute-api/{API_ID}/dev")
    gateway = stack.client("apigatewayv2")
    assert [api["ApiId"] for api in gateway.get_apis()["Items"]] == [API_ID]
    assert len(gateway.get_integrations(ApiId=API_ID)["Items"]) == len(ROUTED)
    assert len(gateway.get_authorizers(ApiId=API_ID)["Items"]) == 1
    assert len(gateway.get_routes(ApiId=API_ID)["Items"]) == len(FEW.routes)
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


def refuse(operation: str, name: str, _: int) -> Reply | None:
    return Reply(400, "AccessDeniedException", "not today") if name == operation else None


FAULTS = (throttle, fail, drop)


def mixed() -> Callable[[], Reply | None]:
    """Return faults that take turns, so that one build meets each of them at a third of its operations."""
    turns = itertools.cycle(FAULTS)
    return lambda: next(turns)()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the SDK try again at once, and the build look at an index often."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.01)
    monkeypatch.setattr("stack.deploy.resources.table.LOOK_EVERY", 0.1)


@pytest.mark.parametrize(
    "fault",
    [lose_answer, *(pytest.param(one, marks=pytest.mark.search) for one in (mixed(), *FAULTS, answer_late))],
)
def test_a_fault_at_the_first_call_of_every_operation_is_overcome(
    bare: Project, fault: Callable[[], Reply | None]
) -> None:
    through = Through(bare, lambda _, before: fault() if before == 0 else None)
    done = through.build()
    assert not done.error, done
    assert set(OPERATIONS) <= set(through.seen)
    assert fault is lose_answer or set(through.seen) <= set(OPERATIONS)  # after a loss, there is more to look at
    assert_one_stack(bare)


@pytest.mark.parametrize("fault", [lose_answer, *(pytest.param(one, marks=pytest.mark.search) for one in FAULTS)])
def test_a_fault_while_a_table_gets_its_index_is_overcome(few: Project, fault: Callable[[], Reply | None]) -> None:
    dynamodb = few.stack.client("dynamodb")
    deletion = [{"Delete": {"IndexName": "by-owner"}}]
    dynamodb.update_table(TableName="shortlinks", GlobalSecondaryIndexUpdates=deletion)
    done = Through(few, lambda name, before: fault() if name == "UpdateTable" and before == 0 else None).build()
    assert not done.error, done
    (index,) = dynamodb.describe_table(TableName="shortlinks")["Table"]["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["IndexStatus"]) == ("by-owner", "ACTIVE")


@pytest.mark.parametrize(
    "operations", [SOME, *(pytest.param((one,), id=one, marks=pytest.mark.search) for one in OPERATIONS)]
)
def test_an_operation_that_is_refused_stops_the_build_and_the_next_run_converges(
    bare: Project, operations: tuple[str, ...]
) -> None:
    for operation in operations:
        done = Through(bare, partial(refuse, operation)).build()
        assert done.error, operation
        assert "\n" not in done.error
        assert list(bare.outputs.iterdir()) == []
    builds.succeed(bare, FEW)
    assert_one_stack(bare)


@pytest.mark.parametrize(
    "operation",
    [one if one in STEADY else pytest.param(one, marks=pytest.mark.search) for one in CREATIONS],
)
def test_a_steady_conflict_ends_in_one_line_and_the_next_run_converges(
    bare: Project, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr("stack.deploy.steps.CONFLICT_TIMEOUT", 1)
    named, code = CREATIONS[operation]
    conflict = Reply(400 if code == "ResourceInUseException" else 409, code, "by another build")
    through = Through(bare, lambda name, _: conflict if name == operation else None)
    error = through.build().error
    assert error.startswith(named), error
    assert " was in conflict with another change for 1 s: make sure that no other build is running" in error
    assert "\n" not in error
    assert 2 <= through.seen[operation] <= 60
    builds.succeed(bare, FEW)
    assert_one_stack(bare)


def test_a_conflict_that_ends_is_overcome(bare: Project) -> None:
    def conflict(name: str, before: int) -> Reply | None:
        found = CREATIONS.get(name)
        if found is None or before > 1:
            return None
        return Reply(400 if found[1] == "ResourceInUseException" else 409, found[1], "by another build")

    done = Through(bare, conflict).build()
    assert not done.error, done
    assert_one_stack(bare)


def test_an_api_id_that_another_region_has_is_named(bare: Project) -> None:
    taken = Reply(409, "ConflictException", "API id is already in use")
    error = Through(bare, lambda name, _: taken if name == "POST /v2/apis" else None).build().error
    assert error.startswith(f"the API ID {API_ID} is taken, but not in us-east-1: set AWS_DEFAULT_REGION to the region")
