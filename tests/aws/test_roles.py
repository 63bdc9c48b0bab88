"""The functions under their own roles, which the engine evaluates: each may do what its entry says, nothing else."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import builds
from aws.rights import ACCOUNT, REGION, Needed
from engine.bare import Engine
from project import Project, Stack
from stack.definition import DEFINITION
from stack.deploy.resources.role import LOG, QUERY, READ, WRITE
from stack.model import Function

TABLE, OTHER = "shortlinks", "others"
KEY: dict[str, Any] = {"Key": {"code": {"S": "called"}}}
OWNED = {"KeyConditionExpression": "owner_id = :user", "ExpressionAttributeValues": {":user": {"S": "none"}}}
CODE = {"KeyConditionExpression": "code = :code", "ExpressionAttributeValues": {":code": {"S": "none"}}}
LINK = {"long_url": "https://example.com/", "code": "mine"}
# What a function might call, on which table, and what about none.
TABLE_CALLS: dict[str, dict[str, Any]] = {
    "GetItem": {"TableName": "{}", **KEY},
    "Query": {"TableName": "{}", **CODE},
    "Scan": {"TableName": "{}"},
    "BatchGetItem": {"RequestItems": {"{}": {"Keys": [KEY["Key"]]}}},
    "PutItem": {"TableName": "{}", "Item": KEY["Key"]},
    "UpdateItem": {"TableName": "{}", **KEY},
    "DeleteItem": {"TableName": "{}", **KEY},
    "BatchWriteItem": {"RequestItems": {"{}": [{"PutRequest": {"Item": KEY["Key"]}}]}},
    "DescribeTable": {"TableName": "{}"},
    "DeleteTable": {"TableName": "{}"},
}
ELSEWHERE = (("iam", "ListRoles"), ("lambda", "ListFunctions"), ("dynamodb", "ListTables"))
LOG_ACTIONS = ("CreateLogStream", "PutLogEvents", "GetLogEvents", "CreateLogGroup", "DeleteLogGroup")
# Makes the calls of its event, and returns the names of those that were not denied.
CALLER = """
import boto3
from botocore import xform_name
from botocore.exceptions import ClientError

def handler(event, context):
    allowed = []
    clients = {service: boto3.client(service) for service in {call[1] for call in event}}
    for name, service, operation, arguments in event:
        try:
            getattr(clients[service], xform_name(operation))(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"):
                continue
        allowed.append(name)
    return allowed
"""
# A request of each route, and its status. ``mine`` is a link of the user's.
REQUESTS = {
    "POST /shorten": ("/shorten", 201),
    "GET /r/{code}": ("/r/mine", 302),
    "HEAD /r/{code}": ("/r/mine", 302),
    "GET /": ("/", 200),
    "GET /links": ("/links", 200),
    "GET /links/{code}": ("/links/mine", 200),
    "DELETE /links/{code}": ("/links/mine", 204),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Yield an engine that evaluates policies."""
    engine = Engine.fresh(tmp_path_factory.mktemp("engine"), AUTH="true").start()
    yield engine
    engine.kill()


@pytest.fixture(scope="module")
def project(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose stack that engine has."""
    project = Project.copy(tmp_path_factory.mktemp("project"), HOST_PORT=str(engine.port))
    project.outputs.mkdir()
    builds.succeed(project)
    return project


def expected(function: Function) -> set[str]:
    """Return the calls that the function's role is to allow."""
    indexed = {table.name for table in DEFINITION.tables if table.indexes}
    calls = set()
    for table in function.reads:
        calls |= {f"{operation} on {table}" for operation in READ}
        if table in indexed:
            calls |= {f"{operation} on the index of {table}" for operation in QUERY}
    return calls | {f"{operation} on {table}" for table in function.writes for operation in WRITE}


def calls() -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return what a function might call."""
    found = [
        (f"{operation} on {table}", "dynamodb", operation, filled(arguments, table))
        for table in (TABLE, OTHER)
        for operation, arguments in TABLE_CALLS.items()
    ]
    index = {"TableName": TABLE, "IndexName": "by-owner"}
    found += [
        (f"Query on the index of {TABLE}", "dynamodb", "Query", {**index, **OWNED}),
        (f"Scan on the index of {TABLE}", "dynamodb", "Scan", index),
    ]
    return found + [(operation, service, operation, {}) for service, operation in ELSEWHERE]


def filled(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the arguments of a call with a resource's name in them."""
    filled: dict[str, Any] = json.loads(json.dumps(arguments).replace("{}", name))
    return filled


@pytest.mark.parametrize("function", DEFINITION.functions, ids=lambda function: function.name)
def test_a_role_allows_what_the_definition_says_and_nothing_else(
    engine: Engine, project: Project, function: Function
) -> None:
    client, name = engine.client("lambda"), f"as-{function.name}"
    role = engine.client("iam").get_role(RoleName=DEFINITION.role_name(function, REGION))["Role"]["Arn"]
    code = {"ZipFile": Engine.archive({"handler.py": CALLER})}
    settings = {"Runtime": "python3.12", "Handler": "handler.handler", "Timeout": 60, "Code": code}
    client.create_function(FunctionName=name, Role=role, **settings)
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.1})
    made = calls()
    allowed = set(engine.invoke(name, made))
    names = {call[0] for call in made}
    assert allowed == expected(function) & names
    assert expected(function) - names <= {f"ConditionCheckItem on {TABLE}"}  # a part of a transaction alone


def test_a_role_allows_a_function_to_write_to_its_own_log_and_to_make_none(engine: Engine, project: Project) -> None:
    """The engine writes the logs itself, and evaluates log groups under another ARN than AWS does."""
    for function in DEFINITION.functions:
        role = {"RoleName": DEFINITION.role_name(function, REGION), "PolicyName": "shortener"}
        policy = engine.client("iam").get_role_policy(**role)["PolicyDocument"]
        for name in (function.name, "another", f"{function.name}-2"):
            group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{name}:log-stream:any"
            allowed = {action for action in LOG_ACTIONS if Needed(f"logs:{action}", group).allowed_by(policy)}
            assert allowed == (set(LOG) if name == function.name else set())


def test_each_route_is_answered_under_the_role_of_its_function(engine: Engine, project: Project) -> None:
    stack = project.stack
    assert {route.key for route in DEFINITION.routes} <= {*REQUESTS}
    with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client:
        assert client.post("/shorten", json={"long_url": LINK["long_url"]}).status_code == 201  # under a drawn code
        for route in sorted((route.key for route in DEFINITION.routes), key=[*REQUESTS].index):
            path, status = REQUESTS[route]
            answer = client.request(route.split()[0], path, json=LINK if route.startswith("POST") else None)
            assert answer.status_code == status, (route, answer.text)
            if route == "POST /shorten":
                assert client.post(path, json=LINK).status_code == 409
        assert client.get("/r/none").status_code == 404


def test_functions_whose_roles_lack_their_table_fail_until_the_next_build(engine: Engine, project: Project) -> None:
    routes, iam = {"shorten": "POST /shorten", "redirect": "GET /r/{code}"}, engine.client("iam")
    for function in DEFINITION.functions:
        if function.name not in routes:
            continue
        role = {"RoleName": DEFINITION.role_name(function, REGION), "PolicyName": "shortener"}
        policy = iam.get_role_policy(**role)["PolicyDocument"]
        less = [one for one in policy["Statement"] if "dynamodb" not in json.dumps(one)]
        iam.put_role_policy(**role, PolicyDocument=json.dumps({**policy, "Statement": less}))
    assert {ask(project.stack, route) for route in routes.values()} == {500}
    assert builds.succeed(project).changes("updated") == {("role", name) for name in routes}
    assert 500 not in {ask(project.stack, route) for route in routes.values()}


def ask(stack: Stack, route: str) -> int:
    with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client:
        method, path = route.split()[0], REQUESTS[route][0]
        return client.request(
            method, path, json={"long_url": LINK["long_url"]} if method == "POST" else None
        ).status_code
