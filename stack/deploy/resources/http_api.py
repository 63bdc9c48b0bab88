"""The HTTP API itself.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
"""

from typing import Any

from stack.aws import Aws
from stack.definition import API, API_ID, API_ID_TAGS, FUNCTIONS
from stack.deploy.resources.api_parts import pages
from stack.deploy.steps import Change, Ensured, drift
from stack.settings import Settings

PREFLIGHT_MAX_AGE = 300  # seconds


def ensure(aws: Aws, settings: Settings) -> Ensured:
    """Create the API under its fixed ID, or restore its settings; the ID is the API's."""
    gateway = aws["apigatewayv2"]
    desired = _configuration(settings)
    current = _find(gateway)
    if current is None:
        try:
            created = gateway.create_api(ProtocolType="HTTP", Tags=API_ID_TAGS, **desired)
        except gateway.exceptions.ConflictException:  # another build was faster
            return ensure(aws, settings)
        return Ensured(Change.CREATED, created["ApiId"])
    if not drift(current, desired):
        return Ensured(Change.UNCHANGED, current["ApiId"])
    gateway.update_api(ApiId=current["ApiId"], **desired)
    return Ensured(Change.UPDATED, current["ApiId"])


def endpoint(aws: Aws, api_id: str) -> str:
    """The API's own address, as AWS gives it."""
    address: str = aws["apigatewayv2"].get_api(ApiId=api_id)["ApiEndpoint"]
    return address


def _find(gateway: Any) -> dict[str, Any] | None:
    """Our API, by its fixed ID or, where the endpoint gave it another (AWS does), by its tag."""
    ours = [
        api
        for api in pages(gateway.get_apis)
        if api["ApiId"] == API_ID or API_ID_TAGS.items() <= api.get("Tags", {}).items()
    ]
    return min(ours, key=lambda api: (api["ApiId"] != API_ID, api["CreatedDate"]), default=None)


def _configuration(settings: Settings) -> dict[str, Any]:
    methods = {route.key.split()[0] for function in FUNCTIONS for route in function.routes}
    return {
        "Name": API,
        "DisableExecuteApiEndpoint": False,
        "CorsConfiguration": {
            "AllowOrigins": list(settings.cors_allow_origins),
            "AllowMethods": sorted(methods),
            "AllowHeaders": ["authorization", "content-type"],
            "ExposeHeaders": ["location"],
            "MaxAge": PREFLIGHT_MAX_AGE,
        },
    }
