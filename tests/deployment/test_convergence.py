"""The deployment ends in the same stack, whatever it finds."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from project import CHECKOUT, TLS, Project, Stack, until
from stack.definition import API_ID, ROLE
from stack.deploy import package

ANYTHING = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
Break = Callable[[Stack], object]
LINK = {"long_url": "https://example.com/", "code": "kept"}


def resources(stack: Stack) -> dict[str, Any]:
    """Everything that the deployment decides, with IDs of the engine's choosing replaced by what they stand for."""
    gateway, functions, api = stack.client("apigatewayv2"), stack.client("lambda"), {"ApiId": stack.api_id}
    table = stack.client("dynamodb").describe_table(TableName="shortlinks")["Table"]
    integrations = gateway.get_integrations(**api)["Items"]
    authorizers = gateway.get_authorizers(**api)["Items"]
    routes = gateway.get_routes(**api)["Items"]
    targets = {f"integrations/{one['IntegrationId']}": one["IntegrationUri"] for one in integrations}
    names = {one["AuthorizerId"]: one["Name"] for one in authorizers}
    seen = {
        "apis": [_pick(one, "ApiId Name ProtocolType CorsConfiguration") for one in gateway.get_apis()["Items"]],
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
        "stages": [_pick(one, "StageName AutoDeploy") for one in gateway.get_stages(**api)["Items"]],
        "functions": [
            _pick(one, "FunctionName Runtime Handler Timeout MemorySize Role Environment CodeSha256")
            for one in functions.list_functions()["Functions"]
        ],
        "policies": [
            _replaced(functions.get_policy(FunctionName=name)["Policy"], names)
            for name in ("shorten", "redirect", "authorizer")
        ],
        "table": (table["KeySchema"], table["BillingModeSummary"]["BillingMode"]),
        "trust": stack.client("iam").get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"],
        "rights": _rights(stack),
    }
    return {kind: sorted(found, key=str) if isinstance(found, list) else found for kind, found in seen.items()}


def _rights(stack: Stack) -> Any:
    iam = stack.client("iam")
    return [
        iam.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    ]


def _pick(resource: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: resource.get(name) for name in names.split()}


def _replaced(policy: str, names: dict[str, str]) -> Any:
    for authorizer_id, name in names.items():
        policy = policy.replace(authorizer_id, name)
    return json.loads(policy)["Statement"]


def _part(stack: Stack, kind: str, name: str, value: str) -> dict[str, Any]:
    """The arguments that name the one part of the API with this setting."""
    parts = getattr(stack.client("apigatewayv2"), f"get_{kind}s")(ApiId=stack.api_id)["Items"]
    (found,) = [part for part in parts if value in str(part.get(name))]
    id_name = f"{kind.title()}Id"
    return {"ApiId": stack.api_id, id_name: found[id_name]}


DELETIONS: dict[str, Break] = {
    "table": lambda s: s.client("dynamodb").delete_table(TableName="shortlinks"),
    **{
        f"function {name}": lambda s, name=name: s.client("lambda").delete_function(FunctionName=name)  # type: ignore[misc]
        for name in ("shorten", "redirect", "authorizer")
    },
    **{
        f"permission {name}": lambda s, name=name: s.client("lambda").remove_permission(  # type: ignore[misc]
            FunctionName=name, StatementId="api-gateway"
        )
        for name in ("shorten", "redirect", "authorizer")
    },
    "API": lambda s: s.client("apigatewayv2").delete_api(ApiId=s.api_id),
    **{
        f"integration {name}": lambda s, name=name: s.client("apigatewayv2").delete_integration(  # type: ignore[misc]
            **_part(s, "integration", "IntegrationUri", f":{name}")
        )
        for name in ("shorten", "redirect")
    },
    "authorizer": lambda s: s.client("apigatewayv2").delete_authorizer(**_part(s, "authorizer", "Name", "jwt-auth")),
    **{
        f"route {key}": lambda s, key=key: s.client("apigatewayv2").delete_route(**_part(s, "route", "RouteKey", key))  # type: ignore[misc]
        for key in ("POST /shorten", "GET /r/{code}", "HEAD /r/{code}")
    },
    "stage": lambda s: s.client("apigatewayv2").delete_stage(ApiId=s.api_id, StageName="dev"),
    "role": lambda s: (
        s.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="shortener"),
        s.client("iam").delete_role(RoleName=ROLE),
    ),
}


def _function(name: str, **changes: Any) -> Break:
    return lambda s: s.client("lambda").update_function_configuration(FunctionName=name, **changes)


def _route(key: str, **changes: Any) -> Break:
    return lambda s: s.client("apigatewayv2").update_route(**_part(s, "route", "RouteKey", key), **changes)


def _integration(**changes: Any) -> Break:
    return lambda s: s.client("apigatewayv2").update_integration(
        **_part(s, "integration", "IntegrationUri", ":redirect"), **changes
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


CHANGES: dict[str, Break] = {
    "billing mode": lambda s: s.client("dynamodb").update_table(
        TableName="shortlinks",
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    ),
    "code": lambda s: s.client("lambda").update_function_code(
        FunctionName="redirect",
        ZipFile=package.build(CHECKOUT / "lambdas", "shorten").content,
    ),
    "timeout": _function("redirect", Timeout=3),
    "memory": _function("redirect", MemorySize=128),
    "handler": _function("shorten", Handler="index.handler"),
    "runtime": _function("shorten", Runtime="python3.11"),
    "environment": _function("shorten", Environment={"Variables": {"TABLE": "other"}}),
    "secret": _function("authorizer", Environment={"Variables": {"JWT_SECRET": "other"}}),
    "function's role": _function("shorten", Role="arn:aws:iam::000000000000:role/other"),
    "trust": lambda s: s.client("iam").update_assume_role_policy(
        RoleName=ROLE, PolicyDocument='{"Version": "2012-10-17", "Statement": []}'
    ),
    "rights gone": lambda s: s.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="shortener"),
    "rights": lambda s: s.client("iam").put_role_policy(
        RoleName=ROLE, PolicyName="shortener", PolicyDocument=json.dumps(ANYTHING)
    ),
    "API name": _api(Name="other"),
    "CORS origins": _api(CorsConfiguration={"AllowOrigins": ["https://example.com"]}),
    "CORS gone": lambda s: s.client("apigatewayv2").delete_cors_configuration(ApiId=s.api_id),
    "integration's function": _integration(IntegrationUri="arn:aws:lambda:us-east-1:000000000000:function:shorten"),
    "integration's format": _integration(PayloadFormatVersion="1.0"),
    "integration's timeout": _integration(TimeoutInMillis=50),
    "authorizer's name": _authorizer(Name="other"),
    "authorizer's function": _authorizer(AuthorizerUri="arn:aws:lambda:us-east-1:000000000000:function:redirect"),
    "authorizer's TTL": _authorizer(AuthorizerResultTtlInSeconds=300),
    "authorizer's answers": _authorizer(EnableSimpleResponses=False),
    "authorizer's format": _authorizer(AuthorizerPayloadFormatVersion="1.0"),
    "identity source": _authorizer(IdentitySource=["$request.querystring.token"]),
    "route open to all": _route("POST /shorten", AuthorizationType="NONE"),
    "route closed": _route("GET /r/{code}", AuthorizationType="AWS_IAM"),
    "route's key": _route("HEAD /r/{code}", RouteKey="HEAD /other"),
    "route's target": _route("GET /r/{code}", Target="integrations/none"),
    "stage without auto-deploy": lambda s: s.client("apigatewayv2").update_stage(
        ApiId=s.api_id, StageName="dev", AutoDeploy=False
    ),
    "permission for any API": _permission("redirect", "arn:aws:execute-api:us-east-1:000000000000:*"),
    "permission for any authorizer": _permission(
        "authorizer", f"arn:aws:execute-api:us-east-1:000000000000:{API_ID}/*"
    ),
    "route twice": lambda s: s.client("apigatewayv2").create_route(ApiId=s.api_id, RouteKey="POST /shorten"),
    "integration twice": lambda s: s.client("apigatewayv2").create_integration(
        ApiId=s.api_id,
        IntegrationType="AWS_PROXY",
        IntegrationUri="arn:aws:lambda:us-east-1:000000000000:function:redirect",
    ),
    "authorizer twice": lambda s: s.client("apigatewayv2").create_authorizer(
        ApiId=s.api_id, Name="jwt-auth", AuthorizerType="REQUEST", IdentitySource=["$request.header.Authorization"]
    ),
}


def _works(stack: Stack) -> None:
    code = stack.shorten({"long_url": LINK["long_url"]}).json()["code"]
    assert stack.follow(code).status_code == 302
    assert stack.clicks(code) == 1
    with stack.http() as client:
        assert client.post("/shorten", json=LINK).status_code == 401
        assert client.head(f"/r/{code}").status_code == 302


@pytest.mark.parametrize("name", DELETIONS)
def test_what_was_deleted_is_made_again(built: Project, name: str) -> None:
    before = resources(built.stack)
    DELETIONS[name](built.stack)
    done = built.deploy()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " created " in done.stdout
    assert resources(built.stack) == before
    _works(built.stack)


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_set_again(built: Project, name: str) -> None:
    before = resources(built.stack)
    CHANGES[name](built.stack)
    assert resources(built.stack) != before
    done = built.deploy()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " updated " in done.stdout
    assert resources(built.stack) == before
    _works(built.stack)


def test_a_second_run_changes_nothing(built: Project) -> None:
    before = resources(built.stack)
    done = built.deploy()
    assert done.returncode == 0
    assert "created" not in done.stdout
    assert "updated" not in done.stdout
    assert resources(built.stack) == before


def test_the_probe_leaves_no_row_and_keeps_every_link(built: Project) -> None:
    built.stack.shorten(LINK)
    before = built.stack.client("dynamodb").scan(TableName="shortlinks")["Items"]
    assert built.deploy().returncode == 0
    assert built.stack.client("dynamodb").scan(TableName="shortlinks")["Items"] == before


def test_two_builds_at_once_end_in_one_stack(built: Project) -> None:
    before = resources(built.stack)
    built.stack.client("apigatewayv2").delete_api(ApiId=built.stack.api_id)
    built.stack.client("lambda").delete_function(FunctionName="redirect")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: built.deploy(), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert built.deploy().returncode == 0
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
