"""The deployment on an AWS that has each of its ways: first build, second build, half-built, two builds at once."""

import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import builds
from aws.conftest import Account
from aws.ways import (
    FUNCTIONS,
    Defaults,
    Deleting,
    LaggingLists,
    LaggingTags,
    OneRouteAShape,
    OneWriteAtATime,
    OwnIds,
    References,
    Settling,
    SlowRights,
    SlowRoles,
    Throttling,
    Turns,
    Way,
    aws,
)
from engine_proxy import Reply, Request
from project import DEFAULTS, Stack, until
from stack.aws import Remote
from stack.aws_errors import EXPLAINED, explain
from stack.deploy import build as build_order
from stack.model import Definition
from stack.settings import Settings

# Short ones of each, so that the tests are quick; the deployment waits for as long as AWS takes.
WAYS: dict[str, Callable[[], Way]] = {
    "roles that cannot be assumed yet": lambda: SlowRoles(0.5),
    "rights that have not spread": lambda: SlowRights(0.8),
    "functions that are being changed": lambda: Settling(0.4),
    "one write at a time": lambda: OneWriteAtATime(0.1),
    "throttling": lambda: Throttling(burst=10, rate=30),
    "lists that lag": lambda: LaggingLists(0.5),
    "tags that lag": lambda: LaggingTags(0.5),
    "IDs of AWS's choosing": OwnIds,
    "defaults that AWS adds": Defaults,
    "one route a shape": OneRouteAShape,
    "references": References,
}
# What a first build and one after it need not meet; "throttling" only where the machine is quick enough.
UNMET = {"one route a shape", "references", "functions that are being changed", "throttling"}
# Last calls of builds, in an order in which none has been made when the one before it is cut off.
CUTS = ("POST /v2/apis", f"POST {FUNCTIONS}", "POST /v2/apis/API/routes")
SEARCH = pytest.mark.search
TOGETHER = pytest.param(list(WAYS), id="all together")
EACH = pytest.mark.parametrize("names", [*(pytest.param([name], id=name, marks=SEARCH) for name in WAYS), TOGETHER])


class CutOff(Way):
    """Everything is refused after a call of one kind, as if the build had ended there."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self.last = last
        self.over = False

    def before(self, request: Request) -> Reply | Request | None:  # noqa: ARG002
        return Reply(403, "ExpiredTokenException", "cut off") if self.over else None

    def after(self, request: Request, body: bytes) -> bytes:
        self.over |= re.sub("/v2/apis/[^/]+", "/v2/apis/API", request.operation) == self.last
        return body


def build(
    account: Account, url: str, definition: Definition | None = None, lambdas: Path | None = None, **settings: str
) -> builds.Done:
    return builds.run(account, definition or account.definition, lambdas, target=Remote(url), settings=settings)


def succeed(account: Account, url: str) -> builds.Done:
    done = build(account, url)
    assert not done.error, done
    return done


def other_machine(account: Account, url: str, name: str) -> Callable[[], str]:
    """Return a build with outputs of its own, which returns the API's URL or the one line in which it ended."""
    outputs = account.folder.parent / name
    outputs.mkdir(exist_ok=True)
    settings = Settings.from_environment({**DEFAULTS, **account.settings, "OUTPUTS_DIR": str(outputs)})
    clients = builds.clients(Remote(url))

    def run() -> str:
        try:
            build_order.build_table(clients, account.definition, settings)
            return build_order.build_api(clients, account.definition, settings)
        except EXPLAINED as error:
            return explain(error)

    return run


def assert_unchanged(done: builds.Done) -> None:
    assert not done.changes("created") | done.changes("updated") | done.changes("removed"), done


def catch_up(ways: Iterable[Way]) -> None:
    for way in ways:
        if isinstance(way, LaggingLists):
            until("the lists have caught up", way.caught_up)


def assert_at_rest(account: Account, url: str, ways: Iterable[Way]) -> None:
    """Assert that builds soon have nothing to do. What was made twice is deleted once no route leads to it."""
    catch_up(ways)
    for _ in range(3):
        done = succeed(account, url)
        assert not done.changes("created"), done
        if not done.changes("updated"):
            return
    raise AssertionError(done)


def assert_one_stack(account: Account, definition: Definition | None = None) -> None:
    """Assert that the account has one of each, which answers."""
    api_id = (account.outputs / "api_id").read_text().strip()
    stack = Stack(f"{account.engine}/_aws/execute-api/{api_id}/dev")
    gateway = stack.client("apigatewayv2")
    assert [api["ApiId"] for api in gateway.get_apis()["Items"]] == [api_id]
    routes = gateway.get_routes(ApiId=api_id)["Items"]
    integrations = gateway.get_integrations(ApiId=api_id)["Items"]
    assert {route["Target"] for route in routes} == {f"integrations/{one['IntegrationId']}" for one in integrations}
    authorizers = gateway.get_authorizers(ApiId=api_id)["Items"]
    assert {route.get("AuthorizerId") for route in routes} - {None} == {one["AuthorizerId"] for one in authorizers}
    assert sorted(route["RouteKey"] for route in routes) == sorted(
        route.key for route in (definition or account.definition).routes
    )
    code = stack.shorten({"long_url": "https://example.com/"}).json()["code"]
    assert stack.follow(code).status_code == 302


@EACH
def test_a_first_build_and_one_with_changes_succeed_and_one_after_each_finds_nothing_to_do(
    account: Account, names: list[str], tmp_path: Path
) -> None:
    """The changes: code, settings, and a path variable's name. The old route goes first: AWS has one route a shape."""
    ways = {name: WAYS[name]() for name in names}
    lambdas = shutil.copytree(account.folder / "lambdas", tmp_path / "lambdas")
    renamed = replace(
        account.definition,
        functions=tuple(
            replace(
                one,
                routes=tuple(replace(route, key=route.key.replace("/r/{code}", "/r/{short}")) for route in one.routes),
            )
            for one in account.definition.functions
        ),
    )
    settings = {"LOG_LEVEL": "DEBUG", "CORS_ALLOW_ORIGINS": "https://example.com"}
    with aws(account.engine, *ways.values()) as url:
        succeed(account, url)
        catch_up(ways.values())
        assert_unchanged(succeed(account, url))
        assert_one_stack(account)
        assert {name for name, way in ways.items() if not way.met} <= UNMET
        for handler in lambdas.glob("*/handler.py"):
            handler.write_text(f"{handler.read_text()}\n# changed\n")
        redirect = lambdas / "redirect/handler.py"
        redirect.write_text(redirect.read_text().replace('["code"]', '["short"]'))
        changed = build(account, url, renamed, lambdas, **settings)
        assert not changed.error, changed
        assert changed.changes("updated") >= {("function", one.name) for one in account.definition.functions}
        catch_up(ways.values())
        assert_unchanged(build(account, url, renamed, lambdas, **settings))
        assert_one_stack(account, renamed)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["lists that lag"], id="lists"),
        pytest.param(list(WAYS), id="all together", marks=SEARCH),
    ],
)
def test_a_first_build_with_a_user_pool_succeeds_and_a_second_one_finds_nothing_to_do(
    account: Account, names: list[str]
) -> None:
    ways = [WAYS[name]() for name in names]
    with aws(account.engine, *ways) as url:
        first = build(account, url, IDENTITY_PROVIDER="cognito")
        assert not first.error, first
        catch_up(ways)
        again = build(account, url, IDENTITY_PROVIDER="cognito")
    assert not again.error, again
    assert_unchanged(again)
    assert all(way.met for way in ways if isinstance(way, LaggingLists | SlowRights))


@pytest.mark.parametrize(
    ("names", "lasts"),
    [
        *(pytest.param([name], CUTS, id=name, marks=SEARCH) for name in WAYS),
        pytest.param(list(WAYS), ("PutRolePolicy",), id="all together, at PutRolePolicy", marks=SEARCH),
        pytest.param(list(WAYS), CUTS, id="all together", marks=SEARCH),
        pytest.param([name for name in WAYS if name != "throttling"], CUTS, id="all but throttling"),
    ],
)
def test_builds_that_were_cut_off_are_completed_by_the_next(
    account: Account, names: list[str], lasts: tuple[str, ...]
) -> None:
    cut = Turns()
    ways = [WAYS[name]() for name in names]
    with aws(account.engine, cut, *ways) as url:
        for last in lasts:
            cut.now = CutOff(last)
            assert "ExpiredTokenException" in build(account, url).error, last
        cut.now = Way()
        succeed(account, url)
        assert_at_rest(account, url, ways)
        assert_one_stack(account)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(list(WAYS), id="all together", marks=SEARCH),
        pytest.param(
            ["one write at a time", "lists that lag", "IDs of AWS's choosing", "one route a shape", "references"],
            id="what they meet over",
            marks=SEARCH,
        ),
        pytest.param(["IDs of AWS's choosing"], id="IDs"),
    ],
)
def test_two_first_builds_at_once_end_in_one_stack(account: Account, names: list[str]) -> None:
    """Each succeeds, or says in one line that another build is running, and later builds complete the stack."""
    ways = [WAYS[name]() for name in names]
    with aws(account.engine, *ways) as url, ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda deployer: deployer(), [other_machine(account, url, name) for name in "ab"]))
        assert len({end for end in ends if end.startswith("http")}) == 1, ends
        for end in ends:
            assert end.startswith("http") or "make sure that no other build is running" in end, ends
        assert_at_rest(account, url, ways)
        assert_one_stack(account)


@pytest.mark.parametrize("part", ["target", "authorizerId"])
def test_what_another_build_deleted_before_a_route_led_to_it_is_made_again(account: Account, part: str) -> None:
    with aws(account.engine, Deleting(part, times=1)) as url:
        succeed(account, url)
        assert_one_stack(account)


def test_a_build_whose_routes_lead_to_what_another_goes_on_deleting_says_so(account: Account) -> None:
    with aws(account.engine, Deleting("target", times=1000)) as url:
        done = build(account, url)
    assert re.match(r"another build goes on deleting what this one's routes lead to in API \w+ \(\w+\): ", done.error)
    assert "\n" not in done.error


# A fault that does not end, the bound that is shortened for the test, and the one line that a build ends in.
STEADY: dict[str, tuple[Callable[[], Way], str, float, str]] = {
    "role": (
        lambda: SlowRoles(1000),
        "resources.function.NEW_ROLE_TIMEOUT",
        1,
        r"function \w+ cannot use its role [\w-]+ after 1 s: build again, and if that does not help, look at the role",
    ),
    "rights": (lambda: SlowRights(1000), "probe.RIGHTS_TIMEOUT", 1, r"POST \S+/shorten answered 500 instead of 201: "),
    "settling": (
        lambda: Settling(1000),
        "resources.function.ACTIVE_TIMEOUT",
        1,
        r"function \w+ is Pending after 1 s, though it was made anew",
    ),
    "writes": (
        lambda: OneWriteAtATime(1000),
        "steps.CONFLICT_TIMEOUT",
        1,
        r"\w+ .+ was in conflict with another change for 1 s: make sure that no other build is running",
    ),
    "throttling": (
        lambda: Throttling(burst=0),
        "steps.CONFLICT_TIMEOUT",
        1,
        r"\w+ was refused: TooManyRequestsException",
    ),
}


@pytest.mark.parametrize(
    "faults", [("role", "writes", "throttling"), ("settling",), pytest.param(("rights",), marks=SEARCH)], ids="-".join
)
def test_faults_that_do_not_end_end_each_build_in_one_line(
    account: Account, monkeypatch: pytest.MonkeyPatch, faults: tuple[str, ...]
) -> None:
    """Each build comes as far as its fault, and one without a fault completes the stack."""
    turns = Turns()
    monkeypatch.setattr("stack.aws.TURN_ATTEMPTS", 2)
    with aws(account.engine, turns) as url:
        for way, bound, limit, said in map(STEADY.__getitem__, faults):
            monkeypatch.setattr(f"stack.deploy.{bound}", limit)
            turns.now = way()
            done = builds.run(account, account.definition, target=Remote(url), attempts=2)
            assert re.match(said, done.error), done
            assert "\n" not in done.error
        turns.now = Way()
        done = builds.run(account, account.definition, target=Remote(url), attempts=2)
        assert not done.error, done
        assert_one_stack(account)
