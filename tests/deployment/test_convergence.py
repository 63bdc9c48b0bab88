"""The deployment ends in the same stack, whatever it finds."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import builds
from engine_proxy import Reply, Request, proxy
from project import CHECKOUT, DEFAULTS, TLS, Project, Stack, until
from stack.definition import DEFINITION
from stack.deploy import package

ANYTHING = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
Break = Callable[[Stack], object]
LINK = {"long_url": "https://example.com/", "code": "kept"}
FUNCTIONS = [DEFINITION.function_name(function) for function in DEFINITION.functions]
ROUTED = [DEFINITION.function_name(function) for function in DEFINITION.functions if function.routes]
INVOKED = [*ROUTED, DEFINITION.authorizer.function]
ROUTES = [route.key for route in DEFINITION.routes]
TABLES = [DEFINITION.table_name(table) for table in DEFINITION.tables]
ROLES = [DEFINITION.role_name(function, DEFAULTS["AWS_DEFAULT_REGION"]) for function in DEFINITION.functions]
ROLE = ROLES[0]


def resources(stack: Stack) -> dict[str, Any]:
    """Return all that the deployment decides, with IDs of the engine's choosing replaced by what they stand for."""
    gateway, functions, api = stack.client("apigatewayv2"), stack.client("lambda"), {"ApiId": stack.api_id}
    tables = [stack.client("dynamodb").describe_table(TableName=name)["Table"] for name in TABLES]
    integrations = gateway.get_integrations(**api)["Items"]
    authorizers = gateway.get_authorizers(**api)["Items"]
    routes = gateway.get_routes(**api)["Items"]
    targets = {f"integrations/{one['IntegrationId']}": one["IntegrationUri"] for one in integrations}
    names = {one["AuthorizerId"]: one["Name"] for one in authorizers}
    seen: dict[str, list[Any]] = {
        "apis": [_pick(one, "ApiId Name ProtocolType CorsConfiguration Tags") for one in gateway.get_apis()["Items"]],
        "integrations": [
            _pick(one, "IntegrationType IntegrationUri IntegrationMethod PayloadFormatVersion TimeoutInMillis")
            for one in integrations
        ],
        "authorizers": [
            _pick(
                one,
                "Name AuthorizerType AuthorizerUri IdentitySource AuthorizerPayloadFormatVersion"
                " EnableSimpleResponses AuthorizerResultTtlInSeconds",
            )
            for one in authorizers
        ],
        "routes": [
            (one["RouteKey"], one["AuthorizationType"], targets.get(one["Target"]), names.get(one.get("AuthorizerId")))
            for one in routes
        ],
        "stages": [
            _pick(one, "StageName AutoDeploy DefaultRouteSettings Tags") for one in gateway.get_stages(**api)["Items"]
        ],
        "functions": [
            {
                **_pick(one, "FunctionName Runtime Handler Timeout MemorySize Role Environment CodeSha256"),
                "Tags": functions.list_tags(Resource=one["FunctionArn"])["Tags"],
            }
            for one in functions.list_functions()["Functions"]
        ],
        "policies": [_replaced(functions.get_policy(FunctionName=name)["Policy"], names) for name in INVOKED],
        "tables": [
            (
                _pick(one, "TableName KeySchema AttributeDefinitions"),
                one["BillingModeSummary"]["BillingMode"],
                [_pick(index, "IndexName KeySchema Projection") for index in one.get("GlobalSecondaryIndexes", [])],
                stack.client("dynamodb").describe_time_to_live(TableName=one["TableName"])["TimeToLiveDescription"],
                one["DeletionProtectionEnabled"],
                _recovery(stack, one["TableName"]),
            )
            for one in tables
        ],
        "log groups": [
            (one["logGroupName"], one.get("retentionInDays"))
            for one in stack.client("logs").describe_log_groups()["logGroups"]
        ],
        "roles": [
            (one["RoleName"], one["AssumeRolePolicyDocument"], _rights(stack, one["RoleName"]))
            for one in stack.client("iam").list_roles()["Roles"]
        ],
    }
    return {kind: sorted(found, key=str) for kind, found in seen.items()}


def _rights(stack: Stack, role: str) -> Any:
    iam = stack.client("iam")
    return [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]


def _recovery(stack: Stack, table: str) -> Any:
    backups = stack.client("dynamodb").describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    return backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]


def _pick(resource: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: resource.get(name) for name in names.split()}


def _replaced(policy: str, names: dict[str, str]) -> Any:
    for authorizer_id, name in names.items():
        policy = policy.replace(authorizer_id, name)
    return json.loads(policy)["Statement"]


def _part(stack: Stack, kind: str, name: str, value: str) -> dict[str, Any]:
    """Return the arguments that name the one part of the API with this setting."""
    parts = getattr(stack.client("apigatewayv2"), f"get_{kind}s")(ApiId=stack.api_id)["Items"]
    exact = [part for part in parts if part.get(name) == value]  # GET /links is in GET /links/{code} too
    (found,) = exact or [part for part in parts if value in str(part.get(name))]
    id_name = f"{kind.title()}Id"
    return {"ApiId": stack.api_id, id_name: found[id_name]}


def _delete_tables(stack: Stack) -> None:
    for name in TABLES:
        stack.drop_table(name)


def _delete_functions(stack: Stack) -> None:
    for name in FUNCTIONS:
        stack.client("lambda").delete_function(FunctionName=name)


def _delete_permissions(stack: Stack) -> None:
    for name in INVOKED:
        stack.client("lambda").remove_permission(FunctionName=name, StatementId="api-gateway")


def _delete_integrations(stack: Stack) -> None:
    for name in ROUTED:
        stack.client("apigatewayv2").delete_integration(**_part(stack, "integration", "IntegrationUri", f":{name}"))


def _delete_routes(stack: Stack) -> None:
    for key in ROUTES:
        stack.client("apigatewayv2").delete_route(**_part(stack, "route", "RouteKey", key))


def _delete_log_groups(stack: Stack) -> None:
    for name in FUNCTIONS:
        stack.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")


def _delete_roles(stack: Stack) -> None:
    for name in ROLES:
        stack.client("iam").delete_role_policy(RoleName=name, PolicyName="shortener")
        stack.client("iam").delete_role(RoleName=name)


# What does not depend on each other is broken together, so that there are fewer builds.
DELETIONS: dict[str, tuple[Break, ...]] = {
    "the API": (
        # MiniStack would keep it for the next API of that ID.
        lambda s: s.client("apigatewayv2").delete_authorizer(**_part(s, "authorizer", "Name", "jwt-auth")),
        lambda s: s.client("apigatewayv2").delete_api(ApiId=s.api_id),
    ),
    "tables, functions, roles and log groups": (_delete_tables, _delete_functions, _delete_roles, _delete_log_groups),
    "routes, permissions and the stage": (
        _delete_routes,
        _delete_permissions,
        lambda s: s.client("apigatewayv2").delete_stage(ApiId=s.api_id, StageName="dev"),
    ),
    "integrations and the authorizer": (
        _delete_integrations,
        lambda s: s.client("apigatewayv2").delete_authorizer(**_part(s, "authorizer", "Name", "jwt-auth")),
    ),
}


def _function(name: str, **changes: Any) -> Break:
    return lambda s: s.client("lambda").update_function_configuration(FunctionName=name, **changes)


def _route(key: str, **changes: Any) -> Break:
    return lambda s: s.client("apigatewayv2").update_route(**_part(s, "route", "OperationName", key), **changes)


def _integration(name: str, **changes: Any) -> Break:
    return lambda s: s.client("apigatewayv2").update_integration(
        **_part(s, "integration", "Description", f"function {name}"), **changes
    )


def _authorizer(**changes: Any) -> Break:
    return lambda s: s.client("apigatewayv2").update_authorizer(**_part(s, "authorizer", "Name", "jwt-auth"), **changes)


def _api(**changes: Any) -> Break:
    return lambda s: s.client("apigatewayv2").update_api(ApiId=s.api_id, **changes)


def _permission(name: str, source_arn: str) -> Break:
    def change(stack: Stack) -> None:
        functions = stack.client("lambda")
        functions.remove_permission(FunctionName=name, StatementId="api-gateway")
        functions.add_permission(
            FunctionName=name,
            StatementId="api-gateway",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=source_arn,
        )

    return change


CHANGES: dict[str, tuple[Break, ...]] = {
    "one setting of each": (
        lambda s: s.client("dynamodb").update_table(
            TableName="shortlinks",
            BillingMode="PROVISIONED",
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        ),
        lambda s: s.client("lambda").update_function_code(
            FunctionName="redirect", ZipFile=package.build(CHECKOUT / "lambdas", "shorten").content
        ),
        _function("shorten", Environment={"Variables": {"TABLE": "other"}}),
        _function("authorizer", Environment={"Variables": {"JWT_SECRET": "other"}}),
        lambda s: s.client("iam").update_assume_role_policy(
            RoleName=ROLE, PolicyDocument='{"Version": "2012-10-17", "Statement": []}'
        ),
        _api(Name="other"),
        _integration("redirect", IntegrationUri="arn:aws:lambda:us-east-1:000000000000:function:shorten"),
        _authorizer(AuthorizerUri="arn:aws:lambda:us-east-1:000000000000:function:redirect"),
        _route("POST /shorten", AuthorizationType="NONE"),
        _route("HEAD /r/{code}", RouteKey="HEAD /other"),
        lambda s: s.client("apigatewayv2").update_stage(ApiId=s.api_id, StageName="dev", AutoDeploy=False),
        _permission("redirect", "arn:aws:execute-api:us-east-1:000000000000:*"),
        lambda s: s.client("logs").put_retention_policy(logGroupName="/aws/lambda/redirect", retentionInDays=1),
        lambda s: s.client("dynamodb").update_continuous_backups(
            TableName="shortlinks", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
        ),
    ),
    "another setting of each": (
        _function("redirect", Timeout=3),
        _function("shorten", Handler="index.handler"),
        _function("authorizer", Role="arn:aws:iam::000000000000:role/other"),
        lambda s: s.client("iam").delete_role_policy(RoleName=ROLES[1], PolicyName="shortener"),
        _api(CorsConfiguration={"AllowOrigins": ["https://example.com"]}),
        lambda s: s.client("apigatewayv2").update_stage(
            ApiId=s.api_id, StageName="dev", DefaultRouteSettings={"ThrottlingRateLimit": 1.0}
        ),
        lambda s: s.client("logs").delete_retention_policy(logGroupName="/aws/lambda/shorten"),
        lambda s: s.client("dynamodb").update_table(TableName="shortlinks", DeletionProtectionEnabled=False),
        _integration("redirect", PayloadFormatVersion="1.0"),
        _authorizer(AuthorizerResultTtlInSeconds=300),
        _route("GET /r/{code}", AuthorizationType="AWS_IAM"),
        _permission("authorizer", f"arn:aws:execute-api:us-east-1:000000000000:{DEFINITION.api_id}/*"),
    ),
    "a third setting of each": (
        _function("redirect", MemorySize=128),
        _function("shorten", Runtime="python3.11"),
        lambda s: s.client("iam").put_role_policy(
            RoleName=ROLE, PolicyName="shortener", PolicyDocument=json.dumps(ANYTHING)
        ),
        lambda s: s.client("apigatewayv2").delete_cors_configuration(ApiId=s.api_id),
        _integration("redirect", TimeoutInMillis=50),
        _authorizer(EnableSimpleResponses=False),
        _route("GET /r/{code}", Target="integrations/none"),
    ),
    "a fourth setting, and duplicates with our mark": (
        _authorizer(AuthorizerPayloadFormatVersion="1.0"),
        _authorizer(IdentitySource=["$request.querystring.token"]),
        lambda s: s.client("apigatewayv2").create_route(
            ApiId=s.api_id, RouteKey="POST /shorten", OperationName="POST /shorten"
        ),
        lambda s: s.client("apigatewayv2").create_integration(
            ApiId=s.api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri="arn:aws:lambda:us-east-1:000000000000:function:redirect",
            Description="function redirect",
        ),
        lambda s: s.client("apigatewayv2").create_authorizer(
            ApiId=s.api_id, Name="jwt-auth", AuthorizerType="REQUEST", IdentitySource=["$request.header.Authorization"]
        ),
    ),
}


def _works(stack: Stack) -> None:
    code = stack.shorten({"long_url": LINK["long_url"]}).json()["code"]
    assert stack.follow(code).status_code == 302
    assert stack.clicks(code) == 1
    with stack.http() as client:
        assert client.post("/shorten", json=LINK).status_code == 401
        assert client.head(f"/r/{code}").status_code == 302


def _as_planned(project: Project) -> None:
    """Build, and find that the plan has said what the build then does, and has done nothing of it."""
    sent: set[str] = set()

    def record(request: Request) -> Reply | None:
        sent.add(request.operation)
        return None

    with proxy(project.engine, record) as engine:
        planned = builds.plan(project, engine=engine)
    assert sent
    assert all(operation.startswith(("GET ", "Describe", "Get", "List")) for operation in sent)
    done = builds.succeed(project)
    assert planned.changes("create") == done.changes("created")
    assert planned.changes("update") == done.changes("updated")
    assert planned.changes("create") | planned.changes("update")


@pytest.mark.parametrize("name", DELETIONS)
def test_what_was_deleted_is_made_again(built: Project, name: str) -> None:
    before = resources(built.stack)
    for delete in DELETIONS[name]:
        delete(built.stack)
    _as_planned(built)
    assert resources(built.stack) == before
    _works(built.stack)


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_set_again(built: Project, name: str) -> None:
    before = broken = resources(built.stack)
    for change in CHANGES[name]:
        change(built.stack)
        assert resources(built.stack) != broken
        broken = resources(built.stack)
    _as_planned(built)
    assert resources(built.stack) == before
    _works(built.stack)


def test_a_second_run_changes_nothing(built: Project) -> None:
    before = resources(built.stack)
    done = builds.succeed(built)
    assert not done.changes("created") | done.changes("updated") | done.changes("removed")
    assert resources(built.stack) == before


def test_a_role_has_the_rights_on_the_tables_that_its_function_uses_and_no_others(built: Project) -> None:
    granted = {}
    for function in DEFINITION.functions:
        ((policy),) = _rights(built.stack, DEFINITION.role_name(function, "us-east-1"))
        statements = policy["Statement"]
        assert all("*" not in action for one in statements for action in one["Action"])
        assert statements[0]["Resource"].endswith(f":log-group:/aws/lambda/{function.name}:*")
        granted[function.name] = {
            (action, one["Resource"].rpartition("/")[2]) for one in statements[1:] for action in one["Action"]
        }
    assert granted["authorizer"] == set()
    assert ("dynamodb:PutItem", "shortlinks") in granted["shorten"]
    assert ("dynamodb:GetItem", "shortlinks") not in granted["shorten"]
    assert {("dynamodb:GetItem", "shortlinks"), ("dynamodb:UpdateItem", "shortlinks")} <= granted["redirect"]
    of_links = {("dynamodb:BatchGetItem", "shortlinks"), ("dynamodb:DeleteItem", "shortlinks")}
    assert of_links | {("dynamodb:Query", "*")} <= granted["links"]  # of the table's indexes
    assert ("dynamodb:Query", "*") not in granted["shorten"]


def test_the_probe_leaves_no_row_and_keeps_every_link(built: Project) -> None:
    built.stack.shorten(LINK)
    before = built.stack.client("dynamodb").scan(TableName="shortlinks")["Items"]
    builds.succeed(built)
    assert built.stack.client("dynamodb").scan(TableName="shortlinks")["Items"] == before


def test_two_builds_at_once_end_in_one_stack(built: Project) -> None:
    before = resources(built.stack)
    builds.empty(built)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: built.deploy(), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    builds.succeed(built)
    assert resources(built.stack) == before


def test_a_reset_engine_builds_the_stack_again(built: Project) -> None:
    before = resources(built.stack)
    built.stack.shorten(LINK)
    url = built.stack.url
    httpx.post(f"{built.engine}/_ministack/reset?init=1", timeout=60, verify=TLS).raise_for_status()
    until("the stack is back", lambda: (built.outputs / "api_id").exists())
    assert built.stack.url == url
    assert resources(built.stack) == before
    assert built.stack.follow(LINK["code"]).status_code == 404
    _works(built.stack)
