"""What the stack consists of: its names, its functions and their routes."""

from dataclasses import dataclass

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

RUNTIME = "python3.12"
HANDLER = "handler.handler"
FUNCTION_TIMEOUT = 10  # seconds
FUNCTION_MEMORY = 256  # MiB


@dataclass(frozen=True)
class Route:
    """A method and path of the API, such as ``GET /r/{code}``; ``authorized`` puts the authorizer before it."""

    key: str
    authorized: bool = False


@dataclass(frozen=True)
class Function:
    """A folder of ``lambdas/``, the names of the variables it reads, and the routes that lead to it."""

    name: str
    environment: tuple[str, ...]
    routes: tuple[Route, ...] = ()


SHORTEN = Function("shorten", environment=("TABLE",), routes=(Route("POST /shorten", authorized=True),))
REDIRECT = Function("redirect", environment=("TABLE",), routes=(Route("GET /r/{code}"), Route("HEAD /r/{code}")))
AUTHORIZER_FUNCTION = Function("authorizer", environment=("JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE"))
FUNCTIONS = (SHORTEN, REDIRECT, AUTHORIZER_FUNCTION)
