"""The routes: which request reaches which integration, and through which authorizer.

Those of this stack have their key as their operation's name too, and so are known from a person's.
https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-routes.html
"""

import contextlib
import re
from functools import partial

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.resources import Removals, api_parts, removal
from stack.deploy.steps import Ensured
from stack.model import Definition, Route


def ensure(aws: Aws, api_id: str, route: Route, integration_id: str, authorizer_id: str) -> Ensured:
    """Create or update the route to an integration; ``authorizer_id`` counts if the route asks for authorization.

    Raises DeployError if the API has a route with this key that this stack did not make.
    """
    desired = {
        "RouteKey": route.key,
        "OperationName": route.key,
        "Target": f"integrations/{integration_id}",
        "AuthorizationType": "NONE",
    }
    if route.authorized:
        desired |= {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer_id}
    gateway = aws["apigatewayv2"]
    listed = api_parts.find(aws, api_id, "route")
    for one, part in [*listed.items()]:
        key, name = part["RouteKey"], part.get("OperationName")
        if _shape(key) != _shape(route.key) or name == route.key:
            continue
        if name != key:
            raise mark.stranger("route", key)
        # A path variable got another name, and AWS takes only one of the two routes.
        with contextlib.suppress(gateway.exceptions.NotFoundException):  # another build was faster
            gateway.delete_route(ApiId=api_id, RouteId=one)
        del listed[one]
    return api_parts.converge(aws, api_id, "route", desired, "OperationName", listed)


def removals(aws: Aws, definition: Definition, api_id: str) -> Removals:
    """Yield what removes the routes that the definition has no more."""
    gateway = aws["apigatewayv2"]
    wanted = {route.key for route in definition.routes}
    for one, part in api_parts.find(aws, api_id, "route").items():
        name = part.get("OperationName")
        if name == part["RouteKey"] and name not in wanted:
            delete = partial(gateway.delete_route, ApiId=api_id, RouteId=one)
            yield name, removal(delete, gateway.exceptions.NotFoundException)


def _shape(key: str) -> str:
    """Return a route's key without the names of its path variables, which AWS does not tell apart."""
    return re.sub(r"{[^}+]*", "{…", key)
