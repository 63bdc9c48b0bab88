"""The stage that serves the API. It is a part of the API, and so is whoever's the API is.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html
"""

from stack.aws import Aws
from stack.deploy import mark
from stack.deploy.steps import Change, Ensured, drift
from stack.model import Definition
from stack.settings import Settings

BURST = 2  # seconds' worth of the rate


def ensure(aws: Aws, definition: Definition, settings: Settings, api_id: str) -> Ensured:
    """Create the stage, which deploys each change of the API by itself, or restore its settings; the ID is its name."""
    gateway = aws["apigatewayv2"]
    name = definition.stage
    limits = {
        "ThrottlingRateLimit": float(settings.throttle_rate),
        "ThrottlingBurstLimit": settings.throttle_rate * BURST,
    }
    try:
        current = gateway.get_stage(ApiId=api_id, StageName=name)
    except gateway.exceptions.NotFoundException:
        tags = mark.tags(aws, definition)
        gateway.create_stage(ApiId=api_id, StageName=name, Tags=tags, AutoDeploy=True, DefaultRouteSettings=limits)
        return Ensured(Change.CREATED, name)
    defaults = current.get("DefaultRouteSettings", {})  # an operator may have added some
    if current.get("AutoDeploy") and not drift(defaults, limits):
        return Ensured(Change.UNCHANGED, name)
    gateway.update_stage(ApiId=api_id, StageName=name, AutoDeploy=True, DefaultRouteSettings={**defaults, **limits})
    return Ensured(Change.UPDATED, name)
