"""A removal takes all that carries the stack's mark, again and again, and nothing else."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

import builds
from engine_proxy import Reply, Request, proxy
from project import CHECKOUT, DEFAULTS, Project, Stack
from stack.definition import DEFINITION
from stack.deploy import package
from stack.deploy.resources import role
from stack.model import Function, Route, Table

LINK = {"long_url": "https://example.com/", "code": "kept"}
REGION = DEFAULTS["AWS_DEFAULT_REGION"]
FUNCTIONS = [DEFINITION.function_name(function) for function in DEFINITION.functions]
ROLES = [DEFINITION.role_name(function, REGION) for function in DEFINITION.functions]
REMOVED = {
    ("API", f"shortener ({DEFINITION.api_id})"),
    *(("function", name) for name in FUNCTIONS),
    *(("role", name) for name in ROLES),
    *(("log group", f"/aws/lambda/{name}") for name in FUNCTIONS),
}
TABLES = {("table", DEFINITION.table_name(table)) for table in DEFINITION.tables}
ANYTHING = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
TRUST = json.dumps(role.TRUST)


@pytest.fixture
def stack(built: Project) -> Iterator[Stack]:
    """A stack that is up, on an engine with nothing else."""
    stack = built.stack
    builds.empty(built)
    builds.succeed(built)
    yield stack
    builds.empty(built)
    builds.succeed(built)


def everything(stack: Stack) -> dict[str, list[str]]:
    """The names of all that the engine has."""
    return {
        "APIs": [one["Name"] for one in stack.client("apigatewayv2").get_apis()["Items"]],
        "functions": [one["FunctionName"] for one in stack.client("lambda").list_functions()["Functions"]],
        "roles": [one["RoleName"] for one in stack.client("iam").list_roles()["Roles"]],
        "log groups": [one["logGroupName"] for one in stack.client("logs").describe_log_groups()["logGroups"]],
        "alarms": [one["AlarmName"] for one in stack.client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "tables": stack.client("dynamodb").list_tables()["TableNames"],
    }


NOTHING: dict[str, list[str]] = {kind: [] for kind in ("APIs", "functions", "roles", "log groups", "alarms", "tables")}


def test_a_removal_does_what_its_plan_says_and_keeps_the_links(built: Project, stack: Stack) -> None:
    stack.shorten(LINK)
    before = everything(stack)
    assert builds.remove(built, plan=True).changes("remove") == REMOVED
    assert everything(stack) == before
    assert builds.remove(built).changes("removed") == REMOVED
    assert everything(stack) == {**NOTHING, "tables": before["tables"]}
    builds.succeed(built)
    assert stack.follow(LINK["code"]).status_code == 302


def test_a_removal_with_the_tables_leaves_nothing_and_can_be_repeated(built: Project, stack: Stack) -> None:
    assert builds.remove(built, with_tables=True, plan=True).changes("remove") == REMOVED | TABLES
    assert builds.remove(built, with_tables=True).changes("removed") == REMOVED | TABLES
    assert everything(stack) == NOTHING
    assert builds.remove(built, with_tables=True).printed == ""


def test_what_the_definition_has_no_more_goes_too(built: Project, stack: Stack) -> None:
    project_with = replace(
        builds.with_function(Function("extra", routes=(Route("GET /extra"),))),
        tables=(*DEFINITION.tables, Table("notes", key="id")),
    )
    handler = built.folder / "lambdas/extra/handler.py"
    handler.parent.mkdir()
    handler.write_text("def handler(event, context):\n    return {}\n")
    builds.succeed(built, project_with, ALARM_TOPIC="arn:aws:sns:us-east-1:000000000000:alarms")
    assert "shortener-extra-errors" in everything(stack)["alarms"]
    builds.remove(built, with_tables=True)
    assert everything(stack) == NOTHING


HALVES: dict[str, Callable[[Stack], object]] = {
    "the API": lambda s: s.client("apigatewayv2").delete_api(ApiId=s.api_id),
    "a function": lambda s: s.client("lambda").delete_function(FunctionName="redirect"),
    "a role's policy": lambda s: s.client("iam").delete_role_policy(RoleName=ROLES[0], PolicyName="shortener"),
    "the table": lambda s: s.drop_table("shortlinks"),
}


@pytest.mark.parametrize("half", HALVES)
def test_a_half_removed_stack_is_removed(built: Project, stack: Stack, half: str) -> None:
    HALVES[half](stack)
    builds.remove(built, with_tables=True)
    assert everything(stack) == NOTHING


def test_a_role_goes_with_what_people_put_into_it(built: Project, stack: Stack) -> None:
    iam = stack.client("iam")
    iam.put_role_policy(RoleName=ROLES[0], PolicyName="mine", PolicyDocument=ANYTHING)
    policy = iam.create_policy(PolicyName="attached", PolicyDocument=ANYTHING)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=ROLES[0], PolicyArn=policy)
    builds.remove(built, with_tables=True)
    assert everything(stack) == NOTHING


def test_two_removals_at_once_end_in_nothing(built: Project, stack: Stack) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda _: builds.remove(built, with_tables=True), range(2)):
            assert "failed" not in done.printed
    assert everything(stack) == NOTHING


def make_strangers(stack: Stack) -> None:
    """Make a resource of each kind under the stack's names, without its mark."""
    stack.client("logs").create_log_group(logGroupName="/aws/lambda/shorten")
    stack.client("cloudwatch").put_metric_alarm(
        AlarmName="shortener-shorten-errors",
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    stack.client("apigatewayv2").create_api(Name="shortener", ProtocolType="HTTP")
    stack.client("iam").create_role(RoleName=ROLES[0], AssumeRolePolicyDocument=TRUST)
    stack.client("lambda").create_function(
        FunctionName="redirect",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/theirs",
        Handler="index.handler",
        Code={"ZipFile": package.build(CHECKOUT / "lambdas", "redirect").content},
    )
    stack.client("dynamodb").create_table(
        TableName="shortlinks",
        KeySchema=[{"AttributeName": "code", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "code", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_strangers_are_named_and_left(built: Project, stack: Stack) -> None:
    builds.empty(built)
    make_strangers(stack)
    (api,) = stack.client("apigatewayv2").get_apis()["Items"]
    before = everything(stack)
    done = builds.remove(built, with_tables=True)
    assert done.changes("left") == {
        ("API", f"shortener ({api['ApiId']})"),
        ("role", ROLES[0]),
        ("function", "redirect"),
        ("table", "shortlinks"),
        ("log group", "/aws/lambda/shorten"),
        ("alarm", "shortener-shorten-errors"),
    }
    assert not done.changes("removed")
    assert everything(stack) == before


def test_what_the_deployer_may_not_look_at_is_not_the_stacks(built: Project, stack: Stack) -> None:
    stack.client("logs").create_log_group(logGroupName="/aws/lambda/theirs")
    stack.client("dynamodb").create_table(
        TableName="theirs",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    denied: set[str] = set()

    def deny(request: Request) -> Reply | None:
        if not re.search(rb'"[\w:/-]*theirs"', request.body):
            return None
        denied.add(request.operation)
        return Reply(400, "AccessDeniedException", "not yours")

    with proxy(built.engine, deny) as engine:
        builds.remove(built, with_tables=True, engine=engine)
    assert denied == {"DescribeTable", "ListTagsForResource"}
    assert everything(stack) == {**NOTHING, "tables": ["theirs"], "log groups": ["/aws/lambda/theirs"]}


def test_a_stack_with_another_prefix_is_left(built: Project, stack: Stack) -> None:
    builds.succeed(built, NAME_PREFIX="other-")
    builds.remove(built, with_tables=True)
    kept = everything(stack)
    assert kept["APIs"] == ["other-shortener"]
    assert sorted(kept["functions"]) == sorted(f"other-{name}" for name in FUNCTIONS)
    assert kept["tables"] == ["other-shortlinks"]
    builds.remove(built, DEFINITION.prefixed("other-"), with_tables=True)
    assert everything(stack) == NOTHING
