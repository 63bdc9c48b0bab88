"""What the stack consists of: its names, its functions and their routes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stack.errors import DefinitionError

# Fixed, so that saved URLs outlive restarts. Engines take it from a tag when the API is created;
# eight hexadecimal digits, because MiniStack's host-name URLs match nothing else.
API_ID = "5407c0de"
API_ID_TAGS = {"_custom_id_": API_ID, "ms-custom-id": API_ID}  # LocalStack's tag, MiniStack's tag

API = "shortener"
STAGE = "dev"
AUTHORIZER = "jwt-auth"
TABLE = "shortlinks"
TABLE_KEY = "code"
ROLE = "shortener-lambda"
MARK = f"part of {API}"  # the description of every function that the deployment makes, and so may remove

RUNTIME = "python3.12"
HANDLER = "handler.handler"
FUNCTION_TIMEOUT = 10  # seconds
FUNCTION_MEMORY = 256  # MiB

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
ROUTE_KEY = re.compile(r"(DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /\S*")
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Route:
    """A method and path of the API, such as ``GET /r/{code}``; ``authorized`` puts the authorizer before it."""

    key: str
    authorized: bool = False


@dataclass(frozen=True)
class Function:
    """A folder of ``lambdas/``, the routes that lead to it, and the environment that it finds.

    That is ``variables``, and the values of those settings of ``.env`` that ``settings`` names.
    """

    name: str
    routes: tuple[Route, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()


AUTHORIZER_FUNCTION = Function("authorizer", settings=("JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE"))

# To add a function, make its folder and add it here; what is taken out here is removed by the next build.
FUNCTIONS = (
    Function("shorten", (Route("POST /shorten", authorized=True),), {"TABLE": TABLE}),
    Function("redirect", (Route("GET /r/{code}"), Route("HEAD /r/{code}")), {"TABLE": TABLE}),
    AUTHORIZER_FUNCTION,
)


def check(functions: Sequence[Function]) -> None:
    """Raise DefinitionError for a name or a route that AWS would not take, or that stands there twice."""
    for function in functions:
        if not isinstance(function.routes, tuple):
            raise DefinitionError(
                f"stack/definition.py: the routes of {function.name} are no tuple: one alone needs a comma after it"
            )
    names = [function.name for function in functions]
    keys = [route.key for function in functions for route in function.routes]
    for what, values, pattern in (("function name", names, FUNCTION_NAME), ("route", keys, ROUTE_KEY)):
        for value in values:
            if pattern.fullmatch(value) is None:
                raise DefinitionError(f"stack/definition.py: {value!r} cannot be a {what}")
            if values.count(value) > 1:
                raise DefinitionError(f"stack/definition.py: the {what} {value!r} is there twice")
