"""The integrations: how the API calls the function behind a route. Their descriptions say which are ours.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-integrations.html
"""

from functools import partial

from stack.aws import Aws
from stack.deploy.resources import Removals, api_parts, removal
from stack.deploy.steps import Ensured
from stack.model import Definition, Function

PREFIX = "function "


def ensure(aws: Aws, api_id: str, function: Function, function_arn: str) -> Ensured:
    """Create or update the API's integration with a function; the ID is the integration's."""
    desired = {
        "Description": description(function),
        "IntegrationType": "AWS_PROXY",
        "IntegrationUri": function_arn,
        "IntegrationMethod": "POST",
        "PayloadFormatVersion": "2.0",
        "TimeoutInMillis": 30_000,
    }
    return api_parts.converge(aws, api_id, "integration", desired, "Description")


def removals(aws: Aws, definition: Definition, api_id: str) -> Removals:
    """Yield what removes the integrations with functions that are gone, or have no route any more."""
    gateway = aws["apigatewayv2"]
    routed = {function.name for function in definition.functions if function.routes}
    for one, part in api_parts.find(aws, api_id, "integration").items():
        text = part.get("Description", "")
        name = text.removeprefix(PREFIX)
        if text.startswith(PREFIX) and name not in routed:
            delete = partial(gateway.delete_integration, ApiId=api_id, IntegrationId=one)
            yield name, removal(delete, gateway.exceptions.NotFoundException)


def description(function: Function) -> str:
    """Return what our integration with a function is known by."""
    return f"{PREFIX}{function.name}"
