"""The order of the build. What is started under one ``side_by_side`` does not need each other."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from stack import outputs, packages
from stack.aws import Aws, Local
from stack.deploy import loading, package, probe
from stack.deploy.loading import Source
from stack.deploy.resources import (
    alarm,
    api_parts,
    authorizer,
    function,
    http_api,
    integration,
    log_group,
    permission,
    remove,
    role,
    route,
    stage,
    table,
    user_pool,
)
from stack.deploy.steps import Change, Ensured, side_by_side
from stack.errors import DeployError
from stack.model import Definition
from stack.settings import COGNITO, Settings

TABLE_SERVICES = ("dynamodb", "lambda", "sts")
API_SERVICES = ("sts", "iam", "lambda", "apigatewayv2", "dynamodb", "logs", "cloudwatch")
LEADS = 5  # turns; builds at the same time wait for different times, and so one is the last


def api_services(settings: Settings) -> tuple[str, ...]:
    """Return the services of AWS that the API is built with."""
    return (*API_SERVICES, user_pool.SERVICE) if settings.identity_provider == COGNITO else API_SERVICES


def build_table(aws: Aws, definition: Definition, settings: Settings) -> None:
    """Build part 2 of the tutorial: the tables. Raises DeployError."""
    with side_by_side() as steps:
        for one in definition.tables:
            steps.start("table", definition.table_name(one), partial(table.ensure, aws, definition, settings, one))


def build_api(aws: Aws, definition: Definition, settings: Settings) -> str:
    """Build part 4 of the tutorial: everything else, up to the published outputs. Return the API's URL.

    Raises DeployError. Bad sources and a bad outputs folder are found before anything is touched, so
    what is up stays up; a build that fails later withdraws the outputs, for nobody knows what still
    answers.
    """
    engine_url = aws.endpoints.get("apigatewayv2")  # None for AWS itself
    outputs.check(settings.outputs)
    sources = read_sources(aws, definition, settings)
    for one in definition.tables:
        table.require(aws, definition, one)
    check_sources(aws, definition, sources, engine_url)
    try:
        api_id = converge(aws, definition, settings, sources)
        address, served = http_api.endpoint(aws, api_id)
        base_url = public_url = f"{address}/{definition.stage}"
        if engine_url is not None:
            base_url = public_url = f"{engine_url}/_aws/execute-api/{api_id}/{definition.stage}"
        if isinstance(aws.target, Local):  # in its container the engine's port has another number than on the host
            public_url = base_url.replace(aws.target.url, f"http://127.0.0.1:{settings.host_port}")
        if served:
            with side_by_side() as steps:
                steps.start("probe", probe.step(settings), partial(probe.ensure, aws, definition, settings, base_url))
        else:
            print("  warning: somebody has disabled the API's own endpoint, so it was not asked whether it answers")
    except BaseException:
        outputs.withdraw(settings.outputs)
        raise
    outputs.publish(settings.outputs, api_id, public_url)
    return public_url


def plan(looking: Aws, definition: Definition, settings: Settings) -> None:
    """Print what a build would do, with clients that only look. Raises DeployError."""
    build_table(looking, definition, settings)
    converge(looking, definition, settings, read_sources(looking, definition, settings))


def warnings(definition: Definition, settings: Settings) -> list[str]:
    """Return a line for each setting that should be changed, and for each folder that no function is made of."""
    listed = {function.name for function in definition.functions}
    return settings.warnings() + [
        f"lambdas/{handler.parent.name} is not deployed: it has no Function in stack/definition.py"
        for handler in sorted(settings.lambdas.glob("*/handler.py"))
        if handler.parent.name not in listed
    ]


def read_sources(aws: Aws, definition: Definition, settings: Settings) -> list[Source]:
    """Read the code and the environment of every function. Raises PackageError and DeployError."""
    target = packages.of_engine(settings.lambdas, aws.endpoints.get("lambda"))
    read = [package.build(settings.lambdas, one.name, target) for one in definition.functions]
    return [
        Source(one, code, user_pool.environment(aws, definition, settings, one))
        for one, code in zip(definition.functions, read, strict=True)
    ]


def check_sources(aws: Aws, definition: Definition, sources: Sequence[Source], engine_url: str | None) -> None:
    """Raise DeployError if a function of such a name is a stranger's, or if changed code cannot be loaded."""
    with side_by_side() as steps:
        check = partial(loading.ensure, aws, definition, sources, engine_url)
        steps.start("code", f"{len(sources)} functions", check)


def converge(aws: Aws, definition: Definition, settings: Settings, sources: Sequence[Source]) -> str:
    """Bring every resource but the tables to where the definition has it; return the API's ID.

    With clients that only look, the steps say what they would do.
    """
    functions = definition.functions
    routed = [one for one in functions if one.routes]
    gate = definition.authorizer_function

    if settings.identity_provider == COGNITO:
        sources = _with_user_pool(aws, definition, settings, sources)

    with side_by_side() as steps:
        roles = {
            one.name: steps.start(
                "role",
                definition.function_name(one),
                partial(role.ensure, aws, definition, one),
                planned_id=role.arn(aws, definition, one),
            )
            for one in functions
        }
        for one in functions:
            name = definition.function_name(one)
            steps.start("log group", name, partial(log_group.ensure, aws, definition, settings, one))
        api = steps.start(
            "API",
            definition.stack_name,
            partial(http_api.ensure, aws, definition, settings),
            planned_id=definition.api_id,
        )
    api_id = api.result()

    def function_step(ensure: Callable[..., Ensured], source: Source) -> "Future[str]":
        one = source.function
        role_arn = roles[one.name].result()
        arguments = (aws, definition, one, source.package, source.environment, role_arn)
        name = definition.function_name(one)
        planned_id = aws.arn("lambda", f"function:{name}")
        return steps.start("function", name, partial(ensure, *arguments), planned_id)

    with side_by_side() as steps:
        started = {one.function.name: function_step(function.ensure, one) for one in sources}
    arns = {name: one.result() for name, one in started.items()}

    with side_by_side() as steps:
        for source in () if aws.only_looks else sources:
            function_step(function.ensure_active, source)
        authorizer_id = lead_routes(aws, definition, settings, api_id, arns)

    with side_by_side() as steps:
        steps.start("stage", definition.stage, partial(stage.ensure, aws, definition, settings, api_id))
        invokers = [(one, f"{api_id}/*") for one in routed] + [(gate, f"{api_id}/authorizers/{authorizer_id}")]
        for one, invoker in invokers:
            name = definition.function_name(one)
            steps.start("permission", name, partial(permission.ensure, aws, definition, one, invoker))
        for one in functions if settings.alarm_topic else ():
            for metric in alarm.METRICS:
                name = alarm.alarm_name(definition, one, metric)
                steps.start("alarm", name, partial(alarm.ensure, aws, definition, settings, one, metric))

    # What the definition has no more goes in the order that AWS asks for: what leads to a resource before it.
    remove("route", route.removals(aws, definition, api_id))
    remove("integration", integration.removals(aws, definition, api_id))
    remove("alarm", alarm.removals(aws, definition, everything=not settings.alarm_topic))
    remove("function", function.removals(aws, definition))
    remove("permission", permission.removals(aws, definition))
    remove("role", role.removals(aws, definition))
    remove("API", http_api.duplicates(aws, definition, api_id))
    return api_id


def lead_routes(aws: Aws, definition: Definition, settings: Settings, api_id: str, arns: Mapping[str, str]) -> str:
    """Bring integrations, authorizer and routes to where the definition has them; return the authorizer's ID.

    Another build at the same time may take one of these integrations, or the authorizer, for a duplicate, and
    delete it before a route leads to it. Then they are brought there again: what a route leads to is not deleted.
    """
    routed = [one for one in definition.functions if one.routes]
    gate = definition.authorizer_function
    for _ in range(LEADS):
        with side_by_side() as steps:
            integrations = {
                one.name: steps.start(
                    "integration", one.name, partial(integration.ensure, aws, api_id, one, arns[one.name])
                )
                for one in routed
            }
            authorizing = steps.start(
                "authorizer",
                definition.authorizer.name,
                partial(authorizer.ensure, aws, definition, settings, api_id, arns[gate.name]),
            )
        targets = {name: step.result() for name, step in integrations.items()}
        authorizer_id = authorizing.result()
        with side_by_side() as steps:
            for one in routed:
                for key in one.routes:
                    ensure = partial(route.ensure, aws, api_id, key, targets[one.name], authorizer_id)
                    steps.start("route", key.key, ensure)
        if (
            aws.only_looks
            or {*steps.changes} <= {Change.UNCHANGED}
            or (
                api_parts.are_there(aws, api_id, "integration", targets.values())
                and api_parts.are_there(aws, api_id, "authorizer", [authorizer_id])
            )
        ):
            return authorizer_id
    raise DeployError(
        f"another build goes on deleting what this one's routes lead to in API {definition.stack_name} ({api_id}): "
        "make sure that no other build is running, and build again"
    )


def _with_user_pool(
    aws: Aws, definition: Definition, settings: Settings, sources: Sequence[Source]
) -> Sequence[Source]:
    """Bring the user pool and its client to where they should be; return the sources with what the authorizer needs."""
    name = definition.stack_name
    with side_by_side() as steps:
        ensure = partial(user_pool.ensure, aws, definition)
        pool = steps.start("user pool", name, ensure, planned_id=f"{aws.region}_planned")  # which AWS takes for an ID
    with side_by_side() as steps:
        client = steps.start("pool client", name, partial(user_pool.ensure_client, aws, definition, pool.result()))
    ids = None if aws.only_looks else (pool.result(), client.result())
    return [
        replace(one, environment=user_pool.environment(aws, definition, settings, one.function, ids)) for one in sources
    ]
