"""The shape of stack/definition.py, and the names in AWS that follow from it; stack/checks.py checks it."""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stack.errors import DeployError

if TYPE_CHECKING:
    from stack.settings import Settings

FILE = "stack/definition.py"
PATH = Path(__file__).with_name("definition.py")

ROLE_NAME_LIMIT = 64  # characters
ENVIRONMENT_LIMIT = 4096  # bytes, names and values


@dataclass(frozen=True)
class Entry:
    """Something that stands in the definition; ``line`` is where, or 0 for one that was made elsewhere."""

    line: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        frame = sys._getframe(1)
        while frame.f_code.co_filename != str(PATH):
            if frame.f_back is None:
                return
            frame = frame.f_back
        object.__setattr__(self, "line", frame.f_lineno)


@dataclass(frozen=True)
class Index(Entry):
    """A global secondary index of a table: its name, partition key and sort key, both strings.

    It has the keys of the items and nothing else, so that no other change of an item writes to it.
    """

    name: str
    key: str
    sort: str


@dataclass(frozen=True)
class Table(Entry):
    """A DynamoDB table. ``key`` is its partition key, a string.

    ``ttl`` names the attribute with the Unix time from which on the table may delete an item.
    """

    name: str
    key: str
    indexes: tuple[Index, ...] = ()
    ttl: str = ""


@dataclass(frozen=True)
class Route(Entry):
    """A method and path of the API, such as ``GET /r/{code}``. ``authorized`` puts the authorizer before it."""

    key: str
    authorized: bool = False


@dataclass(frozen=True)
class Function(Entry):
    """A Lambda function: the folder of its name in ``lambdas/``, the routes to it, and what it may use.

    ``reads`` and ``writes`` name the tables on which its role may do so. Its environment has the
    name of each of them in ``TABLE_<NAME>`` (``TABLE_NOTES`` for the table ``notes``) and, if it uses one
    table only, in ``TABLE``; then LOG_LEVEL, those settings of ``.env`` that ``settings`` names, and ``variables``.
    """

    name: str
    routes: tuple[Route, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the tables that the function uses, each once."""
        return tuple(dict.fromkeys(self.reads + self.writes))


@dataclass(frozen=True)
class Authorizer(Entry):
    """The authorizer of the API, and the function that decides for it."""

    name: str
    function: str


@dataclass(frozen=True)
class Definition(Entry):
    """All of a stack. The names that it has in AWS come from its methods, for they may carry a prefix."""

    tables: tuple[Table, ...]
    functions: tuple[Function, ...]
    api: str
    api_id: str
    authorizer: Authorizer
    stage: str
    prefix: str = ""

    def prefixed(self, prefix: str) -> "Definition":
        """Return the same stack under names that start with ``prefix``, and with an API ID of its own."""
        if not prefix:
            return self
        return replace(self, prefix=prefix, api_id=hashlib.sha256(f"{prefix}{self.api}".encode()).hexdigest()[:8])

    @property
    def stack_name(self) -> str:
        """Return the API's name in AWS, which is the whole stack's."""
        return f"{self.prefix}{self.api}"

    @property
    def routes(self) -> tuple[Route, ...]:
        return tuple(route for function in self.functions for route in function.routes)

    @property
    def authorizer_function(self) -> Function:
        return next(function for function in self.functions if function.name == self.authorizer.function)

    def table_name(self, table: Table | str) -> str:
        """Return the name of a table in AWS."""
        return f"{self.prefix}{table.name if isinstance(table, Table) else table}"

    def function_name(self, function: Function | str) -> str:
        """Return the name of a function in AWS."""
        return f"{self.prefix}{function.name if isinstance(function, Function) else function}"

    def role_name(self, function: Function, region: str) -> str:
        """Return the name of a function's role. It has the region in it, because IAM knows no regions."""
        name = f"{self.stack_name}-{function.name}-{region}"
        if len(name) <= ROLE_NAME_LIMIT:
            return name
        return f"{name[: ROLE_NAME_LIMIT - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    def environment(self, function: Function, settings: "Settings") -> dict[str, str]:
        """Return the environment of a function.

        Raises DeployError for a name that is no setting, or one whose value is not text or a number, and for
        an environment that Lambda would not take.
        """
        variables = {table_variable(table): self.table_name(table) for table in function.tables}
        if len(function.tables) == 1:
            variables["TABLE"] = self.table_name(function.tables[0])
        given = settings.for_engine()
        for name in function.settings:
            if name not in given:
                known = f"which is not a setting that the engine is given; use {', '.join(given)}"
                raise error_at(function, f"settings of {function.name!r} name {name}, {known}")
            value = getattr(settings, name.lower())
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise error_at(
                    function,
                    f"settings of {function.name!r} name {name}, which is not text or a number; "
                    "write what the function needs into its variables",
                )
            variables[name] = str(value)
        environment = {"LOG_LEVEL": settings.log_level, **variables, **function.variables}
        size = sum(len(f"{name}{value}".encode()) for name, value in environment.items())
        if size > ENVIRONMENT_LIMIT:
            raise error_at(
                function,
                f"the environment of {function.name!r} has {size} bytes, and Lambda takes {ENVIRONMENT_LIMIT}: "
                "shorten its variables or its settings",
            )
        return environment


def table_variable(table: str) -> str:
    """Return the environment variable that has the real name of a table."""
    return "TABLE_" + re.sub(r"[^A-Z0-9]", "_", table.upper())


def error_at(at: Entry | int, message: str) -> DeployError:
    """Return the error of an entry or a line of stack/definition.py."""
    line = at if isinstance(at, int) else at.line
    return DeployError(f"{FILE}, line {line}: {message}" if line else f"{FILE}: {message}")
