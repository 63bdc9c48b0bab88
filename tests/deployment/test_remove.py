"""A removal takes all that carries the stack's mark, again and again, and nothing else."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import builds
from builds import FEW
from engine_proxy import Reply, Request, proxy
from project import CHECKOUT, DEFAULTS, Project, Stack
from stack.aws import Local
from stack.deploy import package
from stack.deploy.remove import remove_stack
from stack.deploy.resources import role
from stack.model import Function, Route, Table
from stack.settings import Settings

LINK = {"long_url": "https://example.com/", "code": "kept"}
REGION = DEFAULTS["AWS_DEFAULT_REGION"]
FUNCTIONS = [FEW.function_name(function) for function in FEW.functions]
ROLES = [FEW.role_name(function, REGION) for function in FEW.functions]
REMOVED = {
    ("API", f"shortener ({FEW.api_id})"),
    *(("function", name) for name in FUNCTIONS),
    *(("role", name) for name in ROLES),
    *(("log group", f"/aws/lambda/{name}") for name in FUNCTIONS),
}
TABLES = {("table", FEW.table_name(table)) for table in FEW.tables}
ANYTHING = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
TRUST = json.dumps(role.TRUST)


@pytest.fixture
def stack(bare: Project) -> Stack:
    """Return a stack that is up, on an engine with nothing else."""
    builds.succeed(bare, FEW)
    return bare.stack


def everything(stack: Stack) -> dict[str, list[str]]:
    """Return the names of all that the engine has."""
    return {
        "APIs": [one["Name"] for one in stack.client("apigatewayv2").get_apis()["Items"]],
        "functions": [one["FunctionName"] for one in stack.client("lambda").list_functions()["Functions"]],
        "roles": [one["RoleName"] for one in stack.client("iam").list_roles()["Roles"]],
        "log groups": [one["logGroupName"] for one in stack.client("logs").describe_log_groups()["logGroups"]],
        "alarms": [one["AlarmName"] for one in stack.client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "tables": stack.client("dynamodb").list_tables()["TableNames"],
    }


NOTHING: dict[str, list[str]] = {kind: [] for kind in ("APIs", "functions", "roles", "log groups", "alarms", "tables")}


def test_a_removal_does_what_its_plan_says_and_keeps_the_links(bare: Project, stack: Stack) -> None:
    stack.shorten(LINK)
    before = everything(stack)
    assert builds.remove(bare, FEW, plan=True).changes("remove") == REMOVED
    assert builds.remove(bare, FEW, with_tables=True, plan=True).changes("remove") == REMOVED | TABLES
    assert everything(stack) == before
    assert builds.remove(bare, FEW).changes("removed") == REMOVED
    assert everything(stack) == {**NOTHING, "tables": before["tables"]}
    builds.succeed(bare, FEW)
    assert stack.follow(LINK["code"]).status_code == 302


def test_what_the_definition_has_no_more_and_what_people_put_into_a_role_go_too(bare: Project, tmp_path: Path) -> None:
    lambdas = Path(shutil.copytree(CHECKOUT / "lambdas", tmp_path / "lambdas"))
    definition = replace(
        builds.with_function(Function("extra", routes=(Route("GET /extra"),)), FEW),
        tables=(*FEW.tables, Table("notes", key="id")),
    )
    (lambdas / "extra").mkdir()
    (lambdas / "extra/handler.py").write_text("def handler(event, context):\n    return {}\n")
    builds.succeed(bare, definition, lambdas, ALARM_TOPIC="arn:aws:sns:us-east-1:000000000000:alarms")
    stack = bare.stack
    assert "shortener-extra-errors" in everything(stack)["alarms"]
    iam = stack.client("iam")
    iam.put_role_policy(RoleName=ROLES[0], PolicyName="mine", PolicyDocument=ANYTHING)
    policy = iam.create_policy(PolicyName="attached", PolicyDocument=ANYTHING)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=ROLES[0], PolicyArn=policy)
    assert builds.remove(bare, FEW, with_tables=True).changes("removed") > REMOVED | TABLES
    assert everything(stack) == NOTHING
    assert builds.remove(bare, FEW, with_tables=True).printed == ""


def test_a_half_removed_stack_is_removed(bare: Project, stack: Stack) -> None:
    stack.client("apigatewayv2").delete_api(ApiId=stack.api_id)
    stack.client("lambda").delete_function(FunctionName="redirect")
    stack.client("iam").delete_role_policy(RoleName=ROLES[0], PolicyName="shortener")
    stack.drop_table("shortlinks")
    builds.remove(bare, FEW, with_tables=True)
    assert everything(stack) == NOTHING


def test_two_removals_at_once_end_in_nothing(bare: Project, stack: Stack) -> None:
    aws = builds.clients(Local(int(bare.settings["HOST_PORT"]), REGION))
    settings = Settings.from_environment({**DEFAULTS, **bare.settings})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: remove_stack(aws, FEW, settings, with_tables=True), range(2)))
    assert everything(stack) == NOTHING


def make_strangers(stack: Stack) -> None:
    """Make a resource of each kind under the stack's names, without its mark."""
    stack.client("logs").create_log_group(logGroupName="/aws/lambda/shorten")
    builds.put_alarm(stack, "shortener-shorten-errors")
    stack.client("apigatewayv2").create_api(Name="shortener", ProtocolType="HTTP")
    stack.client("iam").create_role(RoleName=ROLES[0], AssumeRolePolicyDocument=TRUST)
    stack.client("lambda").create_function(
        FunctionName="redirect",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/theirs",
        Handler="index.handler",
        Code={"ZipFile": package.build(CHECKOUT / "lambdas", "redirect").content},
    )
    make_table(stack, "shortlinks")


def make_table(stack: Stack, name: str) -> None:
    stack.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "code", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "code", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_strangers_are_named_and_left(bare: Project) -> None:
    stack = Stack(f"{bare.engine}/_aws/execute-api/{FEW.api_id}/dev")
    make_strangers(stack)
    (api,) = stack.client("apigatewayv2").get_apis()["Items"]
    before = everything(stack)
    done = builds.remove(bare, FEW, with_tables=True)
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


def test_another_stack_and_what_the_deployer_may_not_look_at_are_left(bare: Project, stack: Stack) -> None:
    builds.succeed(bare, FEW, NAME_PREFIX="other-")
    stack.client("logs").create_log_group(logGroupName="/aws/lambda/theirs")
    make_table(stack, "theirs")
    denied: set[str] = set()

    def deny(request: Request) -> Reply | None:
        if not re.search(rb'"[\w:/-]*theirs"', request.body):
            return None
        denied.add(request.operation)
        return Reply(400, "AccessDeniedException", "not yours")

    with proxy(bare.engine, deny) as engine:
        builds.remove(bare, FEW, with_tables=True, engine=engine)
    assert denied == {"DescribeTable", "ListTagsForResource"}
    kept = everything(stack)
    assert kept["APIs"] == ["other-shortener"]
    assert sorted(kept["functions"]) == sorted(f"other-{name}" for name in FUNCTIONS)
    assert sorted(kept["tables"]) == ["other-shortlinks", "theirs"]
    builds.remove(bare, FEW.prefixed("other-"), with_tables=True)
    assert everything(stack) == {**NOTHING, "tables": ["theirs"], "log groups": ["/aws/lambda/theirs"]}
