"""The integrations: how the API calls the function behind a route.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-integrations.html
"""

from stack.aws import Aws
from stack.definition import FUNCTIONS
from stack.deploy.resources import api_parts
from stack.deploy.steps import Ensured


def ensure(aws: Aws, api_id: str, function_name: str, function_arn: str) -> Ensured:
    """The API's integration with a function; the ID is the integration's."""
    desired = {
        "Description": description(function_name),
        "IntegrationType": "AWS_PROXY",
        "IntegrationUri": function_arn,
        "IntegrationMethod": "POST",
        "PayloadFormatVersion": "2.0",
        "TimeoutInMillis": 30_000,
    }
    siblings = {description(function.name) for function in FUNCTIONS}
    return api_parts.converge(aws, api_id, "integration", desired, "Description", "IntegrationUri", siblings)


def description(function_name: str) -> str:
    """What our integration with a function is known by."""
    return f"function {function_name}"
