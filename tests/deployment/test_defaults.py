"""What a stack that others use needs: it is set on every engine, so that the code for AWS is run here."""

from functools import partial
from typing import Any

import pytest

import builds
from project import CHECKOUT, Project, Stack
from stack.aws import Aws, Local
from stack.definition import DEFINITION
from stack.deploy import package
from stack.deploy.resources import function
from stack.deploy.steps import Change

TOPIC = "arn:aws:sns:us-east-1:000000000000:alarms"
FUNCTIONS = [DEFINITION.function_name(one) for one in DEFINITION.functions]
ALARMS = {f"shortener-{name}-{metric}" for name in FUNCTIONS for metric in ("errors", "throttles")}


@pytest.fixture
def stack(built: Project) -> Stack:
    """Return a stack that is up."""
    return built.stack


def limits(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.client("apigatewayv2").get_stage(ApiId=stack.api_id, StageName="dev")
    return dict(found["DefaultRouteSettings"])


def protection(stack: Stack) -> tuple[bool, str]:
    dynamodb = stack.client("dynamodb")
    backups = dynamodb.describe_continuous_backups(TableName="shortlinks")["ContinuousBackupsDescription"]
    return (
        dynamodb.describe_table(TableName="shortlinks")["Table"]["DeletionProtectionEnabled"],
        backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
    )


def retentions(stack: Stack) -> dict[str, int]:
    groups = stack.client("logs").describe_log_groups()["logGroups"]
    return {one["logGroupName"]: one["retentionInDays"] for one in groups}


def alarms(stack: Stack) -> dict[str, Any]:
    return {one["AlarmName"]: one for one in stack.client("cloudwatch").describe_alarms()["MetricAlarms"]}


def test_the_defaults_are_set(stack: Stack) -> None:
    assert limits(stack) == {"ThrottlingRateLimit": 100.0, "ThrottlingBurstLimit": 200}
    assert protection(stack) == (True, "ENABLED")
    assert retentions(stack) == {f"/aws/lambda/{name}": 30 for name in FUNCTIONS}
    assert alarms(stack) == {}


def test_the_settings_change_them_a_topic_makes_alarms_and_none_takes_those_away(built: Project, stack: Stack) -> None:
    build = partial(
        builds.succeed, built, THROTTLE_RATE="7", LOG_RETENTION_DAYS="365", PROTECT_TABLES="0", ALARM_TOPIC=TOPIC
    )
    done = build()
    assert limits(stack) == {"ThrottlingRateLimit": 7.0, "ThrottlingBurstLimit": 14}
    assert protection(stack) == (False, "DISABLED")
    assert retentions(stack) == {f"/aws/lambda/{name}": 365 for name in FUNCTIONS}
    log_groups = {("log group", name) for name in FUNCTIONS}
    assert done.changes("updated") == {("table", "shortlinks"), ("stage", "dev"), *log_groups}
    of_all = {("alarm", name) for name in ALARMS}
    assert done.changes("created") == of_all == {("alarm", name) for name in alarms(stack)}
    for alarm in alarms(stack).values():
        assert alarm["AlarmActions"] == [TOPIC]
        assert alarm["Dimensions"] in ([{"Name": "FunctionName", "Value": name}] for name in FUNCTIONS)
    spoilt = min(ALARMS)
    for name in ("shortener-mine", spoilt):
        builds.put_alarm(stack, name)
    assert build().changes("updated") == {("alarm", spoilt)}
    assert alarms(stack)[spoilt]["AlarmActions"] == [TOPIC]
    assert builds.succeed(built).changes("removed") == of_all
    assert set(alarms(stack)) == {"shortener-mine"}
    stack.client("cloudwatch").delete_alarms(AlarmNames=["shortener-mine"])


def test_what_an_operator_has_locked_down_or_made_stays_so(spoilt: Project) -> None:
    stack = spoilt.stack
    gateway, logs = stack.client("apigatewayv2"), stack.client("logs")
    gateway.update_api(ApiId=stack.api_id, DisableExecuteApiEndpoint=True)
    gateway.update_stage(
        ApiId=stack.api_id, StageName="dev", DefaultRouteSettings={**limits(stack), "DetailedMetricsEnabled": True}
    )
    logs.delete_log_group(logGroupName="/aws/lambda/redirect")
    logs.create_log_group(logGroupName="/aws/lambda/redirect")
    done = builds.succeed(spoilt)
    assert not done.changes("updated") | done.changes("answered")
    assert done.changes("left") == {("log group", "redirect")}
    assert "warning: somebody has disabled the API's own endpoint" in done.printed
    builds.succeed(spoilt, THROTTLE_RATE="7")
    assert limits(stack)["DetailedMetricsEnabled"] is True
    assert gateway.get_api(ApiId=stack.api_id)["DisableExecuteApiEndpoint"] is True
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/redirect")["logGroups"][0]


def test_on_aws_the_functions_are_of_arm64(few: Project) -> None:
    stack = few.stack
    aws = Aws(("lambda", "sts"), Local(int(few.engine.rsplit(":", 1)[1]), "us-east-1"))
    aws.endpoints = {}  # as if this were AWS
    (redirect,) = [one for one in DEFINITION.functions if one.name == "redirect"]
    zipped = package.build(CHECKOUT / "lambdas", "redirect")
    configuration = stack.client("lambda").get_function_configuration(FunctionName="redirect")
    assert configuration["Architectures"] == ["x86_64"]
    arguments = (aws, DEFINITION, redirect, zipped, configuration["Environment"]["Variables"], configuration["Role"])
    assert function.ensure(*arguments).change is Change.UPDATED
    function.ensure_active(*arguments)
    assert function.ensure(*arguments).change is Change.UNCHANGED
    stack.client("lambda").delete_function(FunctionName="redirect")
    assert function.ensure(*arguments).change is Change.CREATED
    configuration = stack.client("lambda").get_function_configuration(FunctionName="redirect")
    assert configuration["Architectures"] == ["arm64"]
