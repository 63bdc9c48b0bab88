"""The stage that serves the API.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html
"""

from stack.aws import Aws
from stack.definition import STAGE
from stack.deploy.steps import Change, Ensured, drift

DESIRED = {"AutoDeploy": True}


def ensure(aws: Aws, api_id: str) -> Ensured:
    """The stage, which deploys every change of the API by itself; the ID is its name."""
    gateway = aws["apigatewayv2"]
    try:
        current = gateway.get_stage(ApiId=api_id, StageName=STAGE)
    except gateway.exceptions.NotFoundException:
        try:
            gateway.create_stage(ApiId=api_id, StageName=STAGE, **DESIRED)
        except gateway.exceptions.ConflictException:  # another build was faster
            return ensure(aws, api_id)
        return Ensured(Change.CREATED, STAGE)
    if not drift(current, DESIRED):
        return Ensured(Change.UNCHANGED, STAGE)
    gateway.update_stage(ApiId=api_id, StageName=STAGE, **DESIRED)
    return Ensured(Change.UPDATED, STAGE)
