"""The stage that serves the API. It is a part of the API, and so is whoever's the API is.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html
"""

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.steps import Change, Ensured, drift
from stack.model import Definition

DESIRED = {"AutoDeploy": True}


def ensure(aws: Aws, definition: Definition, api_id: str) -> Ensured:
    """Create the stage, which deploys every change of the API by itself, or restore that; the ID is its name."""
    gateway = aws["apigatewayv2"]
    name = definition.stage
    try:
        current = gateway.get_stage(ApiId=api_id, StageName=name)
    except gateway.exceptions.NotFoundException:
        gateway.create_stage(ApiId=api_id, StageName=name, Tags=mark.tags(aws, definition), **DESIRED)
        return Ensured(Change.CREATED, name)
    if not drift(current, DESIRED):
        return Ensured(Change.UNCHANGED, name)
    gateway.update_stage(ApiId=api_id, StageName=name, **DESIRED)
    return Ensured(Change.UPDATED, name)
