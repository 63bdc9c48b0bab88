"""Doubles of what LocalStack's open-source runtime lacks: HTTP APIs, and DynamoDB and functions without downloads.

LocalStack finds them as plugins (entry_points.txt). HTTP APIs are a part of LocalStack that is paid for; here moto
keeps them, and ``serve`` answers their requests as far as this project's stack asks: Lambda proxies, Lambda
authorizers, CORS. What the real thing does in addition is unknown to these tests.
"""

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from localstack.aws.api import RequestContext
from localstack.aws.connect import connect_to
from localstack.aws.skeleton import Skeleton
from localstack.aws.spec import load_service
from localstack.http import Request, Response
from localstack.http.request import get_raw_path
from localstack.services.edge import ROUTER
from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor
from localstack.services.moto import call_moto
from localstack.services.plugins import Service, aws_provider
from moto.apigatewayv2.models import Api, Authorizer, Route, apigatewayv2_backends
from moto.core.base_backend import BackendDict

Handler = Callable[[RequestContext, dict[str, Any]], Any]
METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
TEXT = ("text/", "application/json", "application/javascript", "application/xml")


# The control plane


def on_moto(name: str, **own: Handler) -> Service:
    """Return a service that moto implements, one call after another, but for the operations given."""
    lock = threading.Lock()

    def forward(context: RequestContext, request: dict[str, Any]) -> Any:
        with lock:
            return call_moto(context)

    model = load_service(name)
    return Service(name, skeleton=Skeleton(model, {**dict.fromkeys(model.operation_names, forward), **own}))


@aws_provider(api="dynamodb", name="moto")
def dynamodb() -> Service:
    return on_moto("dynamodb")


@aws_provider(api="apigatewayv2")
def apigatewayv2() -> Service:
    for path in ("", "/", "/<path:path>"):
        ROUTER.add(f"/_aws/execute-api/<api_id>/<stage>{path}", serve, methods=METHODS)
    return on_moto("apigatewayv2", CreateApi=create_api, GetAuthorizers=get_authorizers, UpdateStage=update_stage)


def create_api(context: RequestContext, request: dict[str, Any]) -> Any:
    """Create an API under the ID of its tag ``_custom_id_``, as LocalStack does."""
    created = call_moto(context)
    wanted = request.get("Tags", {}).get("_custom_id_")
    if wanted:
        backend = apigatewayv2_backends[context.account_id][context.region]
        api = backend.apis.pop(created["ApiId"])
        tags = backend.tagger.get_tag_dict_for_resource(api.arn)
        api.api_endpoint = api.api_endpoint.replace(api.api_id, wanted)
        api.arn = api.arn.replace(api.api_id, wanted)
        api.api_id = created["ApiId"] = wanted
        backend.tagger.tag_resource(api.arn, [{"Key": key, "Value": value} for key, value in tags.items()])
        backend.apis[wanted] = api
        created["ApiEndpoint"] = api.api_endpoint
    return created


def get_authorizers(context: RequestContext, request: dict[str, Any]) -> Any:
    api = apigatewayv2_backends[context.account_id][context.region].get_api(request["ApiId"])
    return {"Items": [upper_first(one.to_json()) for one in api.authorizers.values()]}


def update_stage(context: RequestContext, request: dict[str, Any]) -> Any:
    api = apigatewayv2_backends[context.account_id][context.region].get_api(request["ApiId"])
    stage = api.get_stage(request["StageName"])
    stage.auto_deploy = request.get("AutoDeploy", stage.auto_deploy)
    stage.default_route_settings = request.get("DefaultRouteSettings", stage.default_route_settings)
    return {"StageName": stage.name, "AutoDeploy": stage.auto_deploy}


def upper_first(fields: dict[str, Any]) -> dict[str, Any]:
    return {name[0].upper() + name[1:]: value for name, value in fields.items() if value is not None}


# The data plane


def serve(request: Request, api_id: str, stage: str, path: str = "") -> Response:
    """Answer a request to an API: CORS, the route, its authorizer, its function."""
    api = find_api(api_id)
    if api is None or stage not in api.stages:
        return message(HTTPStatus.NOT_FOUND, "Not Found")
    origin = request.headers.get("Origin")
    cors = api.cors_configuration or {}
    allowed = origin if origin in cors.get("allowOrigins", []) else "*" if "*" in cors.get("allowOrigins", []) else None
    if request.method == "OPTIONS" and cors and origin and "Access-Control-Request-Method" in request.headers:
        response = Response(status=HTTPStatus.NO_CONTENT)
        if allowed:
            response.headers["Access-Control-Allow-Methods"] = ",".join(cors.get("allowMethods", []))
            response.headers["Access-Control-Allow-Headers"] = ",".join(cors.get("allowHeaders", []))
            response.headers["Access-Control-Max-Age"] = str(cors.get("maxAge", 0))
    else:
        response = ask(request, api, stage)
    if origin and allowed:
        response.headers["Access-Control-Allow-Origin"] = allowed
        if cors.get("exposeHeaders"):
            response.headers["Access-Control-Expose-Headers"] = ",".join(cors["exposeHeaders"])
    return response


def find_api(api_id: str) -> Api | None:
    backends: BackendDict = apigatewayv2_backends
    for regions in backends.values():
        for backend in regions.values():
            if api_id in backend.apis:
                return backend.apis[api_id]
    return None


def ask(request: Request, api: Api, stage: str) -> Response:
    raw = get_raw_path(request).split(f"/_aws/execute-api/{api.api_id}/{stage}", 1)[1] or "/"
    matched = match(api, request.method, raw)
    if matched is None:
        return message(HTTPStatus.NOT_FOUND, "Not Found")
    route, parameters = matched
    event = event_of(request, api, stage, raw, route, parameters)
    if route.authorization_type == "CUSTOM":
        refusal = authorize(api.get_authorizer(route.authorizer_id), event)
        if refusal is not None:
            return refusal
    integration = api.get_integration(route.target.removeprefix("integrations/"))
    answer = invoke(integration.integration_uri, event)
    if not isinstance(answer, dict):
        return message(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
    body = answer.get("body") or ""
    data = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    response = Response(data, status=int(answer.get("statusCode", 200)))
    response.headers.pop("Content-Type", None)
    for name, value in (answer.get("headers") or {}).items():
        response.headers[name] = value
    response.headers["apigw-requestid"] = event["requestContext"]["requestId"]
    return response


def match(api: Api, method: str, raw: str) -> tuple[Route, dict[str, str]] | None:
    """Return the route that a request takes, literal segments before variables, and what its variables are."""
    found = []
    for route in api.routes.values():
        wanted_method, _, wanted_path = route.route_key.partition(" ")
        wanted, given = wanted_path.split("/"), raw.split("/")
        if wanted_method not in (method, "ANY") or len(wanted) != len(given):
            continue
        variables = {}
        for name, value in zip(wanted, given, strict=True):
            if name.startswith("{") and value:
                variables[name[1:-1]] = unquote(value)
            elif name != value:
                break
        else:
            found.append((len(variables), route, variables))
    return min(found, key=lambda one: one[0])[1:] if found else None


def event_of(
    request: Request, api: Api, stage: str, raw: str, route: Route, parameters: dict[str, str]
) -> dict[str, Any]:
    """Return the event in payload format 2.0.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
    cookies = headers.pop("cookie", "")
    query: dict[str, str] = {}
    for name, value in parse_qsl(request.query_string.decode(errors="replace"), keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    data = request.get_data()
    is_text = headers.get("content-type", "").startswith(TEXT) or "+json" in headers.get("content-type", "")
    event = {
        "version": "2.0",
        "routeKey": route.route_key,
        "rawPath": f"/{stage}{unquote(raw)}",
        "rawQueryString": request.query_string.decode(errors="replace"),
        "headers": headers,
        "requestContext": {
            "accountId": api.arn.split(":")[4] or "000000000000",
            "apiId": api.api_id,
            "domainName": request.host,
            "domainPrefix": api.api_id,
            "http": {
                "method": request.method,
                "path": f"/{stage}{unquote(raw)}",
                "protocol": "HTTP/1.1",
                "sourceIp": request.remote_addr or "127.0.0.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid.uuid4().hex[:15] + "=",
            "routeKey": route.route_key,
            "stage": stage,
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()),
            "timeEpoch": int(time.time() * 1000),
        },
        "isBase64Encoded": bool(data) and not is_text,
    }
    if data:
        event["body"] = data.decode(errors="replace") if is_text else base64.b64encode(data).decode()
    if parameters:
        event["pathParameters"] = parameters
    if query:
        event["queryStringParameters"] = query
    if cookies:
        event["cookies"] = cookies.split("; ")
    return event


def authorize(authorizer: Authorizer, event: dict[str, Any]) -> Response | None:
    """Ask the authorizer's function; return the refusal, or None and the context in the event."""
    headers = event["headers"]
    values = [headers.get(source.rpartition(".")[2].lower(), "") for source in authorizer.identity_source]
    if not all(values):
        return message(HTTPStatus.UNAUTHORIZED, "Unauthorized")
    asked = {name: value for name, value in event.items() if name not in ("body", "isBase64Encoded")}
    function = authorizer.authorizer_uri.split("/functions/")[1].removesuffix("/invocations")
    answer = invoke(function, asked | {"type": "REQUEST", "identitySource": values})
    match answer:
        case {"isAuthorized": True}:
            event["requestContext"]["authorizer"] = {"lambda": answer.get("context") or None}
            return None
        case {"isAuthorized": False}:
            return message(HTTPStatus.FORBIDDEN, "Forbidden")
    return message(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")


def invoke(function: str, event: dict[str, Any]) -> Any:
    """Return what a function answers, or None if it failed."""
    _, _, _, region, account, *_ = function.split(":")
    client = connect_to(aws_access_key_id=account, region_name=region).lambda_
    answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
    return None if "FunctionError" in answer else json.loads(answer["Payload"].read())


def message(status: HTTPStatus, text: str) -> Response:
    return Response(f'{{"message":"{text}"}}', status=status, content_type="application/json")


# The functions


class Processes(RuntimeExecutorPlugin):
    """Run functions as processes of the container, for no image can be pulled where these tests run."""

    name = "process"

    def load(self, *_: Any, **__: Any) -> type[RuntimeExecutor]:
        return Process


class Process(RuntimeExecutor):
    """An execution environment: a process of function_runtime.py, which runs one invocation after another."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002 - LocalStack's name
        super().__init__(id, function_version)
        self.process: subprocess.Popen[str] | None = None
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process

    def start(self, env_vars: dict[str, str]) -> None:
        answers, end = os.pipe()
        self.answers = os.fdopen(answers)
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("function_runtime.py"), str(end)],
            cwd=self.function_version.config.code.get_unzipped_code_location(),
            env={"PATH": os.environ["PATH"], **{name: str(value) for name, value in env_vars.items()}},
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            pass_fds=[end],
            text=True,
        )
        os.close(end)
        loaded = json.loads(self.answers.readline() or '{"errorMessage": "the process ended", "errorType": "Exit"}')
        if loaded:
            raise StatusErrorException("Environment startup failed", payload=json.dumps(loaded).encode())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.answers.close()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        assert self.process is not None
        assert self.process.stdin is not None
        request_id, timeout = payload["invoke-id"], self.function_version.config.timeout
        before = self.log.seek(0, os.SEEK_END)
        self.process.stdin.write(json.dumps(payload) + "\n")
        self.process.stdin.flush()
        if not select.select([self.answers], [], [], timeout)[0]:
            self.process.kill()
            error = json.dumps({"errorMessage": f"{request_id} Task timed out after {timeout}.00 seconds"})
            return InvocationResult(request_id, error.encode(), is_error=True, logs="".join(self.since(before)))
        answer = json.loads(self.answers.readline() or '{"error": {"errorMessage": "the process ended"}}')
        is_error = "error" in answer
        result = json.dumps(answer["error" if is_error else "result"]).encode()
        logs = f"START RequestId: {request_id}\n{''.join(self.since(before))}END RequestId: {request_id}\n"
        return InvocationResult(request_id, result, is_error=is_error, logs=logs)

    def since(self, position: int) -> Iterator[str]:
        self.log.seek(position)
        yield from self.log

    def get_logs(self) -> str:
        return "".join(self.since(0))

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return "http://127.0.0.1:4566"

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Leave the code where it is: the container goes with it."""
