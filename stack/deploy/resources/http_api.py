"""The HTTP API itself.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
"""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from stack.aws import Aws, NotSent
from stack.deploy import mark
from stack.deploy.resources import Removals, api_parts, integration, left, removal
from stack.deploy.steps import Change, Ensured, drift
from stack.errors import DeployError
from stack.model import Definition
from stack.settings import Settings

PREFLIGHT_MAX_AGE = 300  # seconds
# LocalStack's tag and MiniStack's: they take the API's ID from it. AWS does not.
ID_TAGS = ("_custom_id_", "ms-custom-id")
LISTED_TIMEOUT = 30  # seconds; AWS lists a new API a few seconds later
LISTED_PAUSE = 0.5  # seconds
CREATED_DATE_UNIT = 1  # seconds; of APIs made in the same second, none is older


def ensure(aws: Aws, definition: Definition, settings: Settings) -> Ensured:
    """Create the API under its fixed ID, or restore its settings; the ID is the API's.

    Raises DeployError if an API of that name or ID is not this stack's.
    """
    gateway = aws["apigatewayv2"]
    desired = _configuration(definition, settings)
    current = _find(aws, definition)
    if current is None:
        tags = {**mark.tags(aws, definition), **dict.fromkeys(ID_TAGS, definition.api_id)}
        try:
            created = gateway.create_api(ProtocolType="HTTP", Tags=tags, **desired)
        except gateway.exceptions.ConflictException as error:
            if _find(aws, definition) is not None:  # another build was faster
                raise
            raise DeployError(
                f"the API ID {definition.api_id} is taken, but not in {aws.region}: set AWS_DEFAULT_REGION to the "
                "region in which the stack was built, or wipe the engine's data (scripts/down.sh --wipe)"
            ) from error
        if created["ApiId"] == definition.api_id:
            return Ensured(Change.CREATED, definition.api_id)
        return _oldest(aws, definition, created["ApiId"])
    api_id = current["ApiId"]
    change = Change.UNCHANGED
    with NotSent.known_as(api_id):
        if not _is_marked(aws, definition, current):
            _adopt_parts(aws, definition, api_id)
            gateway.tag_resource(ResourceArn=_arn(aws, api_id), Tags=mark.tags(aws, definition))
            change = Change.UPDATED
        if drift(current, desired):
            gateway.update_api(ApiId=api_id, **desired)
            change = Change.UPDATED
    return Ensured(change, api_id)


def duplicates(aws: Aws, definition: Definition, api_id: str) -> Removals:
    """Yield what removes other APIs with this stack's mark, which builds at the same time have left."""
    gateway = aws["apigatewayv2"]
    for api in list(api_parts.pages(gateway.get_apis)):
        if api["ApiId"] != api_id and mark.is_on(aws, definition, api.get("Tags") or {}):
            yield _title(api), _delete(aws, api)


def removals(aws: Aws, definition: Definition) -> Removals:
    """Yield what removes the API, of which its stage, routes, integrations and authorizer are parts."""
    alike, ours = _alike_and_ours(aws, definition)
    for api in ours:
        yield _title(api), _delete(aws, api)
    for api in alike:
        if api not in ours:
            yield _title(api), left


def endpoint(aws: Aws, api_id: str) -> tuple[str, bool]:
    """Return the API's address, as AWS gives it, and whether it is served there: an operator may have disabled that."""
    api = aws["apigatewayv2"].get_api(ApiId=api_id)
    return api["ApiEndpoint"], not api.get("DisableExecuteApiEndpoint")


def _delete(aws: Aws, api: dict[str, Any]) -> Callable[[], Ensured]:
    gateway = aws["apigatewayv2"]
    return removal(partial(gateway.delete_api, ApiId=api["ApiId"]), gateway.exceptions.NotFoundException)


def _find(aws: Aws, definition: Definition) -> dict[str, Any] | None:
    """Return this stack's API, by its mark; raise DeployError if there is only somebody else's under its name or ID.

    Its ID is another than the fixed one where the endpoint chooses it, as AWS does. Of two, which
    two first builds at once make there, the older one counts.
    """
    alike, ours = _alike_and_ours(aws, definition)
    if alike and not ours:
        raise mark.stranger("API", _title(alike[0]))
    return min(
        ours, key=lambda api: (api["ApiId"] != definition.api_id, api["CreatedDate"], api["ApiId"]), default=None
    )


def _alike_and_ours(aws: Aws, definition: Definition) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the APIs that have this stack's name or ID, whoever made them, and those that it made."""
    listed = list(api_parts.pages(aws["apigatewayv2"].get_apis))
    alike = [api for api in listed if api["ApiId"] == definition.api_id or api["Name"] == definition.stack_name]
    ours = [
        api
        for api in listed
        if mark.is_earlier_api(definition, api.get("Tags")) or _is_marked(aws, definition, api, look=api in alike)
    ]
    return alike, ours


def _title(api: dict[str, Any]) -> str:
    return f"{api['Name']} ({api['ApiId']})"


def _oldest(aws: Aws, definition: Definition, created_id: str) -> Ensured:
    """Return this stack's oldest API, and delete the one that was created if that is another.

    Where the endpoint chooses the ID, another build may have created an API that was not listed yet.
    Once ours is listed, and a moment later, so is every older one.
    """
    gateway = aws["apigatewayv2"]
    deadline = time.monotonic() + LISTED_TIMEOUT
    listed = False
    while not listed and time.monotonic() < deadline:
        time.sleep(LISTED_PAUSE)
        listed = any(api["ApiId"] == created_id for api in api_parts.pages(gateway.get_apis))
    time.sleep(CREATED_DATE_UNIT)
    oldest = _find(aws, definition)
    if oldest is None or oldest["ApiId"] == created_id:
        return Ensured(Change.CREATED, created_id)
    with contextlib.suppress(gateway.exceptions.NotFoundException):  # another build was faster
        gateway.delete_api(ApiId=created_id)
    return Ensured(Change.UNCHANGED, oldest["ApiId"])


def _is_marked(aws: Aws, definition: Definition, api: dict[str, Any], look: bool = True) -> bool:
    """Return True if the API carries the mark. MiniStack lists only the tags that an API was created with."""
    if mark.is_on(aws, definition, api.get("Tags") or {}):
        return True
    return look and mark.is_on(
        aws, definition, aws["apigatewayv2"].get_tags(ResourceArn=_arn(aws, api["ApiId"]))["Tags"]
    )


def _adopt_parts(aws: Aws, definition: Definition, api_id: str) -> None:
    """Make the routes and integrations known that the first versions of this project made without a mark."""
    gateway = aws["apigatewayv2"]
    wanted = {route.key for route in definition.routes}
    for one, part in api_parts.find(aws, api_id, "route").items():
        if part["RouteKey"] in wanted and not part.get("OperationName"):
            gateway.update_route(ApiId=api_id, RouteId=one, OperationName=part["RouteKey"])
    functions = {aws.arn("lambda", f"function:{one.name}"): one for one in definition.functions}
    for one, part in api_parts.find(aws, api_id, "integration").items():
        if not part.get("Description") and (function := functions.get(part.get("IntegrationUri", ""))):
            text = integration.description(function)
            gateway.update_integration(ApiId=api_id, IntegrationId=one, Description=text)


def _arn(aws: Aws, api_id: str) -> str:
    partition = aws.arn("apigateway", "").split(":")[1]
    return f"arn:{partition}:apigateway:{aws.region}::/apis/{api_id}"


def _configuration(definition: Definition, settings: Settings) -> dict[str, Any]:
    methods = {route.key.split()[0] for route in definition.routes}
    return {
        "Name": definition.stack_name,
        "CorsConfiguration": {
            "AllowCredentials": False,  # AWS answers with it, given or not
            "AllowOrigins": list(settings.cors_allow_origins),
            "AllowMethods": sorted(methods),
            "AllowHeaders": ["authorization", "content-type"],
            "ExposeHeaders": ["location"],
            "MaxAge": PREFLIGHT_MAX_AGE,
        },
    }
