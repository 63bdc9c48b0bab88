"""What somebody else made is refused and left as it is; what an earlier version of this project made is taken over."""

import json
from collections.abc import Callable
from typing import Any

import pytest

import builds
from builds import FEW
from project import CHECKOUT, Project, Stack
from stack.deploy import mark, package

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
ACCOUNT = "000000000000"
LINK = {
    "code": {"S": "kept"},
    "long_url": {"S": "https://example.com/"},
    "owner_id": {"S": "user-1"},
    "click_count": {"N": "7"},
}
ROLE = FEW.role_name(FEW.functions[0], "us-east-1")
Client = Callable[[str], Any]


def clients(project: Project) -> Client:
    return Stack(f"{project.engine}/_aws/execute-api/{FEW.api_id}/dev").client


def make_table(client: Client, key: str = "code") -> None:
    client("dynamodb").create_table(
        TableName="shortlinks",
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client("dynamodb").put_item(TableName="shortlinks", Item={**LINK, key: {"S": "kept"}})


def make_function(client: Client, name: str, **settings: Any) -> None:
    settings = {"Role": f"arn:aws:iam::{ACCOUNT}:role/theirs", "Description": "part of shortener", **settings}
    client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="handler.handler",
        Code={"ZipFile": package.build(CHECKOUT / "lambdas", "redirect").content},
        **settings,
    )
    client("lambda").get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.1})


def make_role(client: Client) -> None:
    client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=TRUST)


def make_api(client: Client, **settings: Any) -> None:
    client("apigatewayv2").create_api(ProtocolType="HTTP", **{"Name": "shortener", **settings})


def make_route(client: Client) -> None:
    gateway = client("apigatewayv2")
    (api,) = gateway.get_apis()["Items"]
    for route in gateway.get_routes(ApiId=api["ApiId"])["Items"]:
        if route["RouteKey"] == "GET /r/{code}":
            gateway.delete_route(ApiId=api["ApiId"], RouteId=route["RouteId"])
    gateway.create_route(ApiId=api["ApiId"], RouteKey="GET /r/{code}", Target="integrations/theirs")


STRANGERS: dict[str, Callable[[Client], None]] = {
    "table shortlinks": make_table,
    "function redirect": lambda client: make_function(client, "redirect"),
    f"role {ROLE}": make_role,
    "API shortener (": make_api,
    f"API theirs ({FEW.api_id})": lambda client: make_api(
        client, Name="theirs", Tags={"ms-custom-id": FEW.api_id, "made-by": "somebody"}
    ),
}


def everything(client: Client) -> list[Any]:
    """Return all that the engine has, with all that it says of it, for comparison."""
    gateway, functions, iam, tables = client("apigatewayv2"), client("lambda"), client("iam"), client("dynamodb")
    return [
        [
            (api, gateway.get_routes(ApiId=api["ApiId"])["Items"], gateway.get_stages(ApiId=api["ApiId"])["Items"])
            for api in gateway.get_apis()["Items"]
        ],
        [
            {name: value for name, value in one.items() if name not in ("State", "LastUpdateStatus")}
            for one in functions.list_functions()["Functions"]
        ],
        [functions.list_tags(Resource=one["FunctionArn"])["Tags"] for one in functions.list_functions()["Functions"]],
        [iam.get_role(RoleName=role["RoleName"])["Role"] for role in iam.list_roles()["Roles"]],
        [
            (tables.describe_table(TableName=name)["Table"], tables.scan(TableName=name)["Items"])
            for name in tables.list_tables()["TableNames"]
        ],
    ]


@pytest.mark.parametrize("named", STRANGERS)
def test_a_strangers_resource_is_refused_in_one_line_and_left_as_it_is(bare: Project, named: str) -> None:
    client = clients(bare)
    STRANGERS[named](client)
    (before,) = [kind for kind in everything(client) if kind and kind != [{}]][:1]
    done = builds.run(bare, FEW)
    assert done.error.startswith(named), done
    assert done.error.endswith(
        "exists, and this stack did not make it: rename or delete it, or set NAME_PREFIX to build the stack under "
        "other names"
    )
    assert [one for kind in everything(client) for one in kind if one in before] == before
    assert list(bare.outputs.iterdir()) == []


def test_a_prefixed_stack_is_built_beside_strangers_resources(bare: Project) -> None:
    client = clients(bare)
    for make in STRANGERS.values():
        make(client)
    before = [one for kind in everything(client) for one in kind if one != {}]
    builds.succeed(bare, FEW, NAME_PREFIX="team-")
    after = [one for kind in everything(client) for one in kind]
    assert [one for one in before if one not in after] == []


def test_a_strangers_function_stops_the_next_build_before_anything_is_touched(few: Project) -> None:
    client = clients(few)("lambda")
    arn = client.get_function_configuration(FunctionName="redirect")["FunctionArn"]
    client.untag_resource(Resource=arn, TagKeys=list(client.list_tags(Resource=arn)["Tags"]))
    client.update_function_configuration(FunctionName="redirect", Description="somebody's")
    client.get_waiter("function_updated_v2").wait(FunctionName="redirect", WaiterConfig={"Delay": 0.1})
    before = everything(clients(few))
    done = builds.run(few, FEW, settings={"AUTHORIZER_TTL": "60"})
    assert done.error.startswith("function redirect exists, and this stack did not make it"), done
    assert everything(clients(few)) == before
    assert few.stack.follow("unknown").json() == {"error": "not found"}


def test_what_somebody_made_in_and_beside_the_stack_is_never_taken_or_removed(few: Project) -> None:
    client = clients(few)
    make_function(client, "theirs")  # with our description, but without our mark
    client("iam").create_role(RoleName="shortener-theirs-us-east-1", AssumeRolePolicyDocument=TRUST)
    client("iam").create_role(RoleName=mark.EARLIER_ROLE, AssumeRolePolicyDocument=TRUST)
    client("apigatewayv2").create_route(ApiId=FEW.api_id, RouteKey="GET /theirs")
    client("apigatewayv2").create_integration(
        ApiId=FEW.api_id,
        IntegrationType="AWS_PROXY",
        IntegrationUri=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:redirect",
    )
    before = everything(client)
    done = builds.succeed(few, FEW)
    assert not done.changes("removed")
    assert everything(client) == before

    make_route(client)
    assert builds.run(few, FEW).error.startswith("route GET /r/{code} exists, and this stack did not make it")
    (route,) = [
        one
        for one in client("apigatewayv2").get_routes(ApiId=FEW.api_id)["Items"]
        if one["RouteKey"] == "GET /r/{code}"
    ]
    assert route["Target"] == "integrations/theirs"


def test_a_prefixed_stack_stands_beside_the_other_and_each_build_leaves_the_other_alone(few: Project) -> None:
    url = few.stack.url
    prefixed = builds.succeed(few, FEW, NAME_PREFIX="team-")
    assert ("function", "team-redirect") in prefixed.changes("created")
    assert not prefixed.changes("removed")
    team = few.stack
    assert team.url != url
    code = team.shorten({"long_url": "https://example.com/"}).json()["code"]
    assert team.follow(code).status_code == 302
    assert [item["code"]["S"] for item in team.client("dynamodb").scan(TableName="team-shortlinks")["Items"]] == [code]
    assert Stack(url).follow(code).status_code == 404
    again = builds.succeed(few, FEW)
    assert not again.changes("created") | again.changes("updated") | again.changes("removed")
    assert team.follow(code).status_code == 302


def make_earlier_stack(client: Client, description: str, operations: bool) -> None:
    """Make what an earlier version made, call for call: no tags but the API's, and one role for all functions."""
    make_table(client)
    arn = f"arn:aws:iam::{ACCOUNT}:role/{mark.EARLIER_ROLE}"
    client("iam").create_role(RoleName=mark.EARLIER_ROLE, AssumeRolePolicyDocument=TRUST)
    client("iam").put_role_policy(
        RoleName=mark.EARLIER_ROLE,
        PolicyName="shortener",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
                        "Resource": f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/shortlinks",
                    },
                    {
                        "Effect": "Allow",
                        "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                        "Resource": f"arn:aws:logs:us-east-1:{ACCOUNT}:*",
                    },
                ],
            }
        ),
    )
    gateway = client("apigatewayv2")
    make_api(client, Tags=mark.EARLIER_API_TAGS)
    for name, keys in {
        "shorten": ("POST /shorten",),
        "redirect": ("GET /r/{code}", "HEAD /r/{code}"),
        "authorizer": (),
        **({"stats": ("GET /stats/{code}",)} if operations else {}),
    }.items():
        make_function(
            client, name, Role=arn, Description=description, Environment={"Variables": {"TABLE": "shortlinks"}}
        )
        for key in keys:
            made = gateway.create_integration(
                ApiId=FEW.api_id,
                IntegrationType="AWS_PROXY",
                IntegrationUri=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}",
                **({"Description": f"function {name}"} if operations else {}),
            )
            gateway.create_route(
                ApiId=FEW.api_id,
                RouteKey=key,
                Target=f"integrations/{made['IntegrationId']}",
                **({"OperationName": key} if operations else {}),
            )
    gateway.create_stage(ApiId=FEW.api_id, StageName="dev", AutoDeploy=True)


@pytest.mark.parametrize(("description", "operations"), [("part of shortener", True), ("", False)])
def test_a_stack_of_an_earlier_version_is_taken_over_with_its_links(
    bare: Project, description: str, operations: bool
) -> None:
    client = clients(bare)
    make_earlier_stack(client, description, operations)
    done = builds.succeed(bare, FEW)
    removed = {("route", "GET /stats/{code}"), ("integration", "stats"), ("function", "stats")} if operations else set()
    assert done.changes("removed") == removed | {("role", mark.EARLIER_ROLE)}
    assert not done.changes("created") & {("table", "shortlinks"), ("API", "shortener"), ("function", "redirect")}
    stack = bare.stack
    assert stack.api_id == FEW.api_id
    assert stack.follow("kept").status_code == 302
    assert stack.clicks("kept") == 8
    again = builds.succeed(bare, FEW)
    assert not again.changes("created") | again.changes("updated") | again.changes("removed")


def test_a_table_is_not_taken_for_an_earlier_versions_because_of_a_strangers_function(bare: Project) -> None:
    client = clients(bare)
    make_table(client)
    make_function(client, "redirect", Environment={"Variables": {"TABLE": "shortlinks"}})
    assert builds.run(bare, FEW).error.startswith("table shortlinks exists, and this stack did not make it")


def test_a_table_of_ours_with_another_key_is_neither_used_nor_deleted(bare: Project) -> None:
    client = clients(bare)
    make_table(client, key="id")
    arn = client("dynamodb").describe_table(TableName="shortlinks")["Table"]["TableArn"]
    tag = {"Key": mark.KEY, "Value": "shortener/us-east-1"}
    client("dynamodb").tag_resource(ResourceArn=arn, Tags=[tag])
    assert builds.run(bare, FEW).error == (
        "table shortlinks has the key id, and the stack needs code (a string): "
        "keep what you need of it, delete it, and build again"
    )
    assert client("dynamodb").scan(TableName="shortlinks")["Count"] == 1
