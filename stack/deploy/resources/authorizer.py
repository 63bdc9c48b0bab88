"""The Lambda authorizer, as the API knows it.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-authorizers.html
"""

from stack.aws import Aws
from stack.deploy.resources import api_parts
from stack.deploy.steps import Ensured
from stack.model import Definition
from stack.settings import Settings


def ensure(aws: Aws, definition: Definition, settings: Settings, api_id: str, function_arn: str) -> Ensured:
    """Create or update the authorizer that calls the function; the ID is the authorizer's.

    The TTL is always set: left out it is 300 s, for which an allowed token outlives its expiry.
    """
    partition, region = function_arn.split(":")[1], function_arn.split(":")[3]
    path = f"arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{function_arn}/invocations"
    desired = {
        "Name": definition.authorizer.name,
        "AuthorizerType": "REQUEST",
        "AuthorizerUri": path,
        "IdentitySource": ["$request.header.Authorization"],
        "AuthorizerPayloadFormatVersion": "2.0",
        "EnableSimpleResponses": True,
        "AuthorizerResultTtlInSeconds": settings.authorizer_ttl,
    }
    return api_parts.converge(aws, api_id, "authorizer", desired, "Name")
