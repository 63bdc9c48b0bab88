"""An engine keeps its resources by region, but the IDs of APIs are shared by all of them."""

from http import HTTPStatus
from typing import Any

from stack import http_client
from stack.aws import Aws, Local
from stack.errors import DeployError
from stack.model import Definition


def check(target: Local, definition: Definition) -> None:
    """Raise DeployError if the engine has our API in another region than the target's.

    A preflight request is answered by the API whatever its region, so a first build needs no more than that.
    """
    url = f"{target.url}/_aws/execute-api/{definition.api_id}/{definition.stage}/"
    try:
        answer = http_client.request("OPTIONS", url, headers={"Origin": "null", "Access-Control-Request-Method": "GET"})
    except OSError:
        return  # the first AWS operation says what is wrong
    if answer.status == HTTPStatus.NOT_FOUND or _has(Aws(("apigatewayv2",), target)["apigatewayv2"], definition.api_id):
        return
    for region, client in target.clients_elsewhere("apigatewayv2"):
        if _has(client, definition.api_id):
            raise DeployError(
                f"the engine has the stack in {region}, and AWS_DEFAULT_REGION is {target.region}: set it back to "
                f"{region}, or forget the stack, links and all: scripts/down.sh --wipe"
            )


def _has(gateway: Any, api_id: str) -> bool:
    try:
        gateway.get_api(ApiId=api_id)
    except gateway.exceptions.NotFoundException:
        return False
    return True
