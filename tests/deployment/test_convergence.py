"""The deployment ends in the same stack, whatever it finds."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import builds
from engine_proxy import Reply, Request, proxy
from project import CHECKOUT, DEFAULTS, Project, Stack
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


def _delete_authorizer(stack: Stack) -> None:
    stack.client("apigatewayv2").delete_authorizer(**_part(stack, "authorizer", "Name", "jwt-auth"))


def _delete_api(stack: Stack) -> None:
    _delete_authorizer(stack)  # which MiniStack would keep for the next API of that ID
    stack.client("apigatewayv2").delete_api(ApiId=stack.api_id)


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


def _stage(**changes: Any) -> Break:
    return lambda s: s.client("apigatewayv2").update_stage(ApiId=s.api_id, StageName="dev", **changes)


def _table(**changes: Any) -> Break:
    return lambda s: s.client("dynamodb").update_table(TableName="shortlinks", **changes)


def _delete_index_and_ttl(stack: Stack) -> None:
    _table(GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-owner"}}])(stack)
    stack.client("dynamodb").update_time_to_live(
        TableName="shortlinks", TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"}
    )


# What does not depend on each other is broken together, so that there are fewer builds. First what is updated then.
BREAKS: dict[str, tuple[set[tuple[str, str]], tuple[Break, ...]]] = {
    "the API deleted, one setting of each of the rest": (
        {("table", "shortlinks"), ("role", "shorten"), ("permission", "redirect"), ("permission", "authorizer")}
        | {("function", "redirect"), ("function", "shorten"), ("function", "authorizer"), ("log group", "redirect")},
        (
            _delete_api,
            _table(BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}),
            lambda s: s.client("lambda").update_function_code(
                FunctionName="redirect", ZipFile=package.build(CHECKOUT / "lambdas", "shorten").content
            ),
            _function("shorten", Environment={"Variables": {"TABLE": "other"}}),
            _function("authorizer", Role="arn:aws:iam::000000000000:role/other"),
            lambda s: s.client("iam").update_assume_role_policy(
                RoleName=ROLE, PolicyDocument='{"Version": "2012-10-17", "Statement": []}'
            ),
            _permission("redirect", "arn:aws:execute-api:us-east-1:000000000000:*"),
            lambda s: s.client("logs").put_retention_policy(logGroupName="/aws/lambda/redirect", retentionInDays=1),
        ),
    ),
    "tables, functions, roles and log groups deleted, settings of each part of the API, duplicates with our mark": (
        {("API", "shortener"), ("authorizer", "jwt-auth"), ("stage", "dev")}
        | {("integration", "redirect"), ("integration", "shorten"), ("integration", "links")}
        | {("route", "POST /shorten"), ("route", "GET /r/{code}"), ("route", "GET /links"), ("route", "GET /")}
        | {("route", "HEAD /r/{code}")},
        (
            _delete_tables,
            _delete_functions,
            _delete_roles,
            _delete_log_groups,
            _api(Name="other"),
            _integration("redirect", IntegrationUri="arn:aws:lambda:us-east-1:000000000000:function:shorten"),
            _integration("shorten", PayloadFormatVersion="1.0", TimeoutInMillis=50),
            _authorizer(
                AuthorizerUri="arn:aws:lambda:us-east-1:000000000000:function:redirect",
                AuthorizerPayloadFormatVersion="1.0",
                AuthorizerResultTtlInSeconds=300,
                EnableSimpleResponses=False,
                IdentitySource=["$request.querystring.token"],
            ),
            _route("POST /shorten", AuthorizationType="NONE"),
            _route("GET /r/{code}", Target="integrations/none"),
            _route("GET /links", AuthorizationType="AWS_IAM"),
            _route("HEAD /r/{code}", RouteKey="HEAD /other"),
            _stage(AutoDeploy=False),
            lambda s: s.client("apigatewayv2").create_route(
                ApiId=s.api_id, RouteKey="GET /", OperationName="GET /", Target="integrations/none"
            ),
            lambda s: s.client("apigatewayv2").create_integration(
                ApiId=s.api_id,
                IntegrationType="AWS_PROXY",
                IntegrationUri="arn:aws:lambda:us-east-1:000000000000:function:links",
                Description="function links",
            ),
        ),
    ),
    "routes, permissions and the stage deleted, another setting of the rest": (
        {("table", "shortlinks"), ("role", "shorten"), ("role", "redirect"), ("API", "shortener")}
        | {("function", "redirect"), ("function", "shorten"), ("function", "authorizer"), ("log group", "shorten")}
        | {("authorizer", "jwt-auth")},
        (
            _delete_routes,
            _delete_permissions,
            lambda s: s.client("apigatewayv2").delete_stage(ApiId=s.api_id, StageName="dev"),
            _table(DeletionProtectionEnabled=False),
            _delete_index_and_ttl,
            _function("redirect", Timeout=3),
            _function("shorten", Handler="index.handler"),
            _function("authorizer", Environment={"Variables": {"JWT_SECRET": "other"}}),
            lambda s: s.client("iam").put_role_policy(
                RoleName=ROLE, PolicyName="shortener", PolicyDocument=json.dumps(ANYTHING)
            ),
            lambda s: s.client("iam").delete_role_policy(RoleName=ROLES[1], PolicyName="shortener"),
            lambda s: s.client("logs").delete_retention_policy(logGroupName="/aws/lambda/shorten"),
            _api(CorsConfiguration={"AllowOrigins": ["https://example.com"]}),
            lambda s: s.client("apigatewayv2").create_authorizer(
                ApiId=s.api_id,
                Name="jwt-auth",
                AuthorizerType="REQUEST",
                IdentitySource=["$request.header.Authorization"],
            ),
        ),
    ),
    "integrations and the authorizer deleted, a third setting of the rest": (
        {("table", "shortlinks"), ("function", "redirect"), ("function", "shorten"), ("API", "shortener")}
        | {("stage", "dev"), ("permission", "shorten"), ("permission", "authorizer")}
        | {("route", key) for key in ROUTES},
        (
            _delete_integrations,
            _delete_authorizer,
            lambda s: s.client("dynamodb").update_continuous_backups(
                TableName="shortlinks", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
            ),
            _function("redirect", MemorySize=128),
            _function("shorten", Runtime="python3.11"),
            lambda s: s.client("apigatewayv2").delete_cors_configuration(ApiId=s.api_id),
            _stage(DefaultRouteSettings={"ThrottlingRateLimit": 1.0}),
            _permission("shorten", f"arn:aws:execute-api:us-east-1:000000000000:{DEFINITION.api_id}/none"),
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


def _as_planned(project: Project, updated: set[tuple[str, str]]) -> None:
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
    assert updated <= done.changes("updated")


@pytest.fixture
def whole(built: Project) -> dict[str, Any]:
    """Return all that a build has made."""
    return resources(built.stack)


@pytest.mark.parametrize("name", BREAKS)
def test_what_was_deleted_or_changed_is_as_it_was(built: Project, whole: dict[str, Any], name: str) -> None:
    updated, breaks = BREAKS[name]
    for one in breaks:
        one(built.stack)
    _as_planned(built, updated)
    assert resources(built.stack) == whole
    _works(built.stack)


def test_a_second_run_changes_nothing_keeps_every_link_and_leaves_none(built: Project, whole: dict[str, Any]) -> None:
    built.stack.shorten(LINK)
    links = built.stack.client("dynamodb").scan(TableName="shortlinks")["Items"]
    done = builds.succeed(built)
    assert not done.changes("created") | done.changes("updated") | done.changes("removed")
    assert resources(built.stack) == whole
    assert built.stack.client("dynamodb").scan(TableName="shortlinks")["Items"] == links


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


def test_two_builds_at_once_end_in_one_stack(built: Project, whole: dict[str, Any]) -> None:
    _delete_api(built.stack)
    _delete_tables(built.stack)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: built.deploy(), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    builds.succeed(built)
    assert resources(built.stack) == whole
