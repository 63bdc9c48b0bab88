"""The order of the build. The steps of one ``together`` do not need each other, and run side by side."""

from functools import partial

from stack import outputs
from stack.aws import Aws
from stack.definition import API, AUTHORIZER, AUTHORIZER_FUNCTION, FUNCTIONS, ROLE, STAGE, TABLE, check
from stack.deploy import leftovers, package, probe
from stack.deploy.package import Package
from stack.deploy.resources import authorizer, function, http_api, integration, permission, role, route, stage, table
from stack.deploy.steps import Step, together
from stack.settings import Settings

TABLE_SERVICES = ("dynamodb", "sts")
API_SERVICES = ("sts", "iam", "lambda", "apigatewayv2", "dynamodb")


def build_table(aws: Aws) -> None:
    """Part 2 of the tutorial: the table. Raises DeployError."""
    together(Step("table", TABLE, partial(table.ensure, aws)))


def build_api(aws: Aws, settings: Settings, engine_url: str | None) -> str:
    """Part 4 of the tutorial: everything else, up to the published outputs. Returns the API's URL.

    ``engine_url`` is the local engine's, or None for AWS itself. Raises DeployError. Bad sources
    and a bad outputs folder are found before anything is touched, so what is up stays up; a
    build that fails later withdraws the outputs, for there is no telling what still answers.
    """
    check(FUNCTIONS)
    settings.named(name for function in FUNCTIONS for name in function.settings)
    outputs.check(settings.outputs)
    packages = {function.name: package.build(settings.lambdas, function.name) for function in FUNCTIONS}
    try:
        api_id = _converge(aws, settings, packages)
        base_url = f"{http_api.endpoint(aws, api_id)}/{STAGE}"
        public_url = base_url
        if engine_url is not None:
            path = f"_aws/execute-api/{api_id}/{STAGE}"
            base_url = f"{engine_url}/{path}"
            public_url = f"http://127.0.0.1:{settings.host_port}/{path}"
        together(Step("probe", "shorten and follow", partial(probe.ensure, aws, settings, base_url)))
    except BaseException:
        outputs.withdraw(settings.outputs)
        raise
    outputs.publish(settings.outputs, api_id, public_url)
    return public_url


def _converge(aws: Aws, settings: Settings, packages: dict[str, Package]) -> str:
    """Bring every resource to where it should be; the API's ID."""
    table.require(aws)
    made = together(
        Step("role", ROLE, partial(role.ensure, aws)),
        Step("API", API, partial(http_api.ensure, aws, settings)),
    )
    role_arn, api_id = made["role", ROLE], made["API", API]
    made |= together(
        *(
            Step("function", f.name, partial(function.ensure, aws, settings, f, packages[f.name], role_arn))
            for f in FUNCTIONS
        )
    )
    routed = [f for f in FUNCTIONS if f.routes]
    gate = AUTHORIZER_FUNCTION.name
    made |= together(
        *(Step("warm-up", f.name, partial(function.warm, aws, f)) for f in FUNCTIONS),
        *(
            Step("integration", f.name, partial(integration.ensure, aws, api_id, f.name, made["function", f.name]))
            for f in routed
        ),
        Step("authorizer", AUTHORIZER, partial(authorizer.ensure, aws, settings, api_id, made["function", gate])),
    )
    authorizer_id = made["authorizer", AUTHORIZER]
    together(
        *(
            Step("route", r.key, partial(route.ensure, aws, api_id, r, made["integration", f.name], authorizer_id))
            for f in routed
            for r in f.routes
        ),
        Step("stage", STAGE, partial(stage.ensure, aws, api_id)),
        *(Step("permission", f.name, partial(permission.ensure, aws, f.name, f"{api_id}/*")) for f in routed),
        Step("permission", gate, partial(permission.ensure, aws, gate, f"{api_id}/authorizers/{authorizer_id}")),
    )
    for removals in leftovers.found(aws, api_id):
        together(*removals)
    return api_id
