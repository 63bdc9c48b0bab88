"""The shape of stack/definition.py, the names that follow from it, and the checks of what people write there."""

import ast
import hashlib
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack.errors import DefinitionError

if TYPE_CHECKING:
    from stack.settings import Settings

FILE = "stack/definition.py"
PATH = Path(__file__).with_name("definition.py")

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
ROUTE_KEY = re.compile(r"(DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /\S*")
ROUTE_KEY_LIMIT = 64  # characters: a route's key is also its OperationName, by which it is known again
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
ROLE_NAME_LIMIT = 64  # characters
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
API_NAME = re.compile(r".{1,128}")
VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]+")


@dataclass(frozen=True)
class _Entry:
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
class Table(_Entry):
    """A DynamoDB table. ``key`` is its partition key, a string."""

    name: str
    key: str


@dataclass(frozen=True)
class Route(_Entry):
    """A method and path of the API, such as ``GET /r/{code}``. ``authorized`` puts the authorizer before it."""

    key: str
    authorized: bool = False


@dataclass(frozen=True)
class Function(_Entry):
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
        """The tables that it uses, each once."""
        return tuple(dict.fromkeys(self.reads + self.writes))


@dataclass(frozen=True)
class Authorizer(_Entry):
    """The authorizer of the API, and the function that decides for it."""

    name: str
    function: str


@dataclass(frozen=True)
class Definition(_Entry):
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

        Raises DefinitionError for a name that is no setting, or one whose value is not text or a number.
        """
        variables = {table_variable(table): self.table_name(table) for table in function.tables}
        if len(function.tables) == 1:
            variables["TABLE"] = self.table_name(function.tables[0])
        given = settings.for_engine()
        for name in function.settings:
            if name not in given:
                known = f"which is not a setting that the engine is given; use {', '.join(given)}"
                raise _error(function, f"settings of {function.name!r} name {name}, {known}")
            value = getattr(settings, name.lower())
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise _error(
                    function,
                    f"settings of {function.name!r} name {name}, which is not text or a number; "
                    "write what the function needs into its variables",
                )
            variables[name] = str(value)
        return {"LOG_LEVEL": settings.log_level, **variables, **function.variables}


def table_variable(table: str) -> str:
    """Return the environment variable that has the real name of a table."""
    return "TABLE_" + re.sub(r"[^A-Z0-9]", "_", table.upper())


def load(prefix: str = "") -> Definition:
    """Return the definition of stack/definition.py, checked, under names that start with ``prefix``.

    Raises DefinitionError with the file and the line of whatever is wrong in it.
    """
    try:
        from stack import definition
    except SyntaxError as error:
        if error.filename != str(PATH):
            raise
        raise DefinitionError(f"{FILE}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(PATH)]
        if not lines:
            raise
        raise DefinitionError(f"{FILE}, line {lines[-1]}: {error}") from error
    found = getattr(definition, "DEFINITION", None)
    if not isinstance(found, Definition):
        raise DefinitionError(f"{FILE}: DEFINITION is missing; write DEFINITION = Definition(…)")
    prefixed = found.prefixed(prefix)
    check(prefixed)
    return prefixed


def check(definition: Definition) -> None:
    """Raise DefinitionError for the first entry that AWS would not take, or that contradicts another."""
    _check_text(definition, "api", definition.api)
    if not API_NAME.fullmatch(definition.stack_name):
        raise _error(definition, f"the API's name {definition.stack_name!r} must have 1 to 128 characters")
    tables = _members(definition, "tables", definition.tables, Table)
    functions = _members(definition, "functions", definition.functions, Function)
    for table in tables:
        _check_table(definition, table)
    _check_unique("table", ((table, table.name) for table in tables))
    _check_unique("environment variable", ((table, table_variable(table.name)) for table in tables))
    for function in functions:
        _check_function(definition, function, {table.name for table in tables})
    _check_unique("function", ((function, function.name) for function in functions))
    routes = [(function, route) for function in functions for route in function.routes]
    _check_unique("route", ((route if route.line else function, route.key) for function, route in routes))
    # AWS takes only one of two routes that differ in the name of a path variable alone.
    _check_unique("route", ((function, re.sub(r"{[^}+]*", "{…", route.key)) for function, route in routes))
    if not isinstance(definition.authorizer, Authorizer):
        raise _error(definition, "authorizer must be an Authorizer")
    if definition.authorizer.function not in {function.name for function in functions}:
        raise _error(
            definition.authorizer,
            f"the authorizer's function {definition.authorizer.function!r} is not among the functions; add it",
        )
    if definition.authorizer_function.routes:
        raise _error(definition.authorizer_function, "the authorizer's function cannot have routes; remove them")


def _check_table(definition: Definition, table: Table) -> None:
    _check_text(table, "the name of a table", table.name)
    _check_text(table, f"key of {table.name!r}", table.key)
    if not TABLE_NAME.fullmatch(definition.table_name(table)):
        raise _error(
            table,
            f"{definition.table_name(table)!r} cannot be a table name; use 3 to 255 of A-Z a-z 0-9 _ . -",
        )


def _check_function(definition: Definition, function: Function, tables: set[str]) -> None:
    _check_text(function, "the name of a function", function.name)
    if not FUNCTION_NAME.fullmatch(definition.function_name(function)):
        raise _error(
            function,
            f"{definition.function_name(function)!r} cannot be a function name; use 1 to 64 of A-Z a-z 0-9 _ -",
        )
    of = f"of {function.name!r}"
    for route in _tuple(function, f"routes {of}", function.routes):
        if not isinstance(route, Route):
            raise _error(function, f"routes {of} has {route!r}, which is not a Route; write {_as_route(route)}")
        if not isinstance(route.key, str) or not ROUTE_KEY.fullmatch(route.key) or len(route.key) > ROUTE_KEY_LIMIT:
            raise _error(
                route if route.line else function,
                f"{route.key!r} cannot be a route; write a method and a path, such as 'GET /stats/{{code}}', "
                f"of at most {ROUTE_KEY_LIMIT} characters",
            )
        if not isinstance(route.authorized, bool):
            raise _error(route, f"authorized of {route.key!r} must be True or False")
    for name, value in (("reads", function.reads), ("writes", function.writes), ("settings", function.settings)):
        for one in _tuple(function, f"{name} {of}", value):
            _check_text(function, f"each of {name} {of}", one)
            if name != "settings" and one not in tables:
                raise _error(function, f"{name} {of} names the table {one!r}, which is not among the tables; add it")
    if not isinstance(function.variables, Mapping):
        raise _error(function, f"variables {of} must be a dictionary; write {{'NAME': 'value'}}")
    for variable, text in function.variables.items():
        if not isinstance(variable, str) or not VARIABLE.fullmatch(variable):
            raise _error(function, f"{variable!r} in variables {of} cannot be the name of an environment variable")
        _check_text(function, f"{variable} in variables {of}", text, empty=True)


def _members(definition: Definition, name: str, value: Any, kind: type) -> tuple[Any, ...]:
    """Return the entries of ``tables`` or ``functions``; raise DefinitionError unless all are of the kind."""
    for number, entry in enumerate(_tuple(definition, name, value)):
        if not isinstance(entry, kind):
            shown = "..." if entry is ... else repr(entry)
            fix = "remove it" if entry is ... else f"write {kind.__name__}(…)"
            message = f"{name} has {shown}, which is not a {kind.__name__}; {fix}"
            raise _error(_line_of_member(name, number) or definition.line, message)
    return tuple(value)


def _line_of_member(name: str, number: int) -> int:
    """Return the line of an entry that cannot say itself where it stands, or 0 if that cannot be told."""
    tree = ast.parse(PATH.read_text())
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == name]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and isinstance(value, ast.Name) and target.id == value.id
            for target in node.targets
            for value in values
        ):
            values.append(node.value)
    for value in values:
        if isinstance(value, ast.Tuple) and number < len(value.elts):
            return value.elts[number].lineno
    return 0


def _tuple(entry: _Entry, name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple):
        return value
    fix = "use ( ) in place of [ ]" if isinstance(value, list) else "add a trailing comma"
    if isinstance(value, bool | int) or value is None or value is ...:
        fix = "write () for none"
    raise _error(entry, f"{name} must be a tuple; {fix}")


def _check_text(entry: _Entry, name: str, value: Any, empty: bool = False) -> None:
    if not isinstance(value, str) or not (value or empty):
        raise _error(entry, f"{name} must be text, not {'...' if value is ... else repr(value)}; put it in quotes")


def _check_unique(kind: str, named: Iterable[tuple[_Entry, str]]) -> None:
    seen: dict[str, _Entry] = {}
    for entry, name in named:
        if name in seen:
            at = f" (the first is on line {seen[name].line})" if seen[name].line else ""
            raise _error(entry, f"duplicate {kind} {name!r}{at}; remove one of the two")
        seen[name] = entry


def _as_route(value: Any) -> str:
    return f'Route("{value}")' if isinstance(value, str) else "Route(…)"


def _error(at: _Entry | int, message: str) -> DefinitionError:
    line = at if isinstance(at, int) else at.line
    return DefinitionError(f"{FILE}, line {line}: {message}" if line else f"{FILE}: {message}")
