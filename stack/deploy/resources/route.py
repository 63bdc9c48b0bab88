"""The routes: which request reaches which integration, and through which authorizer.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-routes.html
"""

from stack.aws import Aws
from stack.definition import FUNCTIONS, Route
from stack.deploy.resources import api_parts
from stack.deploy.steps import Ensured


def ensure(aws: Aws, api_id: str, route: Route, integration_id: str, authorizer_id: str) -> Ensured:
    """The route to an integration; ``authorizer_id`` counts if the route asks for authorization."""
    desired = {
        "RouteKey": route.key,
        "OperationName": route.key,
        "Target": f"integrations/{integration_id}",
        "AuthorizationType": "NONE",
    }
    if route.authorized:
        desired |= {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer_id}
    siblings = {one.key for function in FUNCTIONS for one in function.routes}
    return api_parts.converge(aws, api_id, "route", desired, "RouteKey", "OperationName", siblings)
