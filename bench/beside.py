"""Two functions that the stack is measured against, deployed beside it on the same engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.aws import Aws
from stack.definition import DEFINITION
from stack.deploy import package
from stack.deploy.resources import function as functions
from stack.deploy.resources import integration, route, stage
from stack.model import Function, Route
from stack.settings import Settings

FOLDER = Path(__file__).parent / "references"
FLOOR = Function("bench-floor", (Route("GET /floor"),))
TUTORIAL = Function("bench-tutorial", (Route("GET /tutorial/{code}"),))


@contextmanager
def deployed(aws: Aws, settings: Settings, engine_url: str) -> Iterator[str]:
    """The URL of an API with the two, which is gone afterwards."""
    role_name = DEFINITION.role_name(DEFINITION.functions[0], aws.region)
    role_arn = aws["iam"].get_role(RoleName=role_name)["Role"]["Arn"]
    api_id = aws["apigatewayv2"].create_api(Name="bench", ProtocolType="HTTP")["ApiId"]
    try:
        for function in (FLOOR, TUTORIAL):
            code = package.build(FOLDER, function.name)
            function_arn = functions.ensure(
                aws, DEFINITION, function, code, DEFINITION.environment(function, settings), role_arn
            ).id
            integration_id = integration.ensure(aws, api_id, function, function_arn).id
            for one in function.routes:
                route.ensure(aws, api_id, one, integration_id, authorizer_id="")
        stage.ensure(aws, DEFINITION, api_id)
        yield f"{engine_url}/_aws/execute-api/{api_id}/{DEFINITION.stage}"
    finally:
        aws["apigatewayv2"].delete_api(ApiId=api_id)
        for function in (FLOOR, TUTORIAL):
            aws["lambda"].delete_function(FunctionName=function.name)
