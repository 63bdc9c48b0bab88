"""Two functions that the stack is measured against, deployed beside it on the same engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.aws import Aws
from stack.definition import ROLE, STAGE, Function, Route
from stack.deploy import package
from stack.deploy.resources import function as functions
from stack.deploy.resources import integration, route, stage
from stack.settings import Settings

FOLDER = Path(__file__).parent / "references"
FLOOR = Function("bench-floor", (Route("GET /floor"),))
TUTORIAL = Function("bench-tutorial", (Route("GET /tutorial/{code}"),))


@contextmanager
def deployed(aws: Aws, settings: Settings, engine_url: str) -> Iterator[str]:
    """The URL of an API with the two, which is gone afterwards."""
    role_arn = aws["iam"].get_role(RoleName=ROLE)["Role"]["Arn"]
    api_id = aws["apigatewayv2"].create_api(Name="bench", ProtocolType="HTTP")["ApiId"]
    try:
        for function in (FLOOR, TUTORIAL):
            code = package.build(FOLDER, function.name)
            function_arn = functions.ensure(aws, settings, function, code, role_arn).id
            integration_id = integration.ensure(aws, api_id, function.name, function_arn).id
            for one in function.routes:
                route.ensure(aws, api_id, one, integration_id, authorizer_id="")
        stage.ensure(aws, api_id)
        yield f"{engine_url}/_aws/execute-api/{api_id}/{STAGE}"
    finally:
        aws["apigatewayv2"].delete_api(ApiId=api_id)
        for function in (FLOOR, TUTORIAL):
            aws["lambda"].delete_function(FunctionName=function.name)
