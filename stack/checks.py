"""Load stack/definition.py and check what people wrote there: each slip is one line with file, line and fix."""

import ast
import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from stack.errors import DeployError
from stack.model import (
    FILE,
    PATH,
    Authorizer,
    Definition,
    Entry,
    Function,
    Index,
    Route,
    Table,
    error_at,
    table_variable,
)

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
ROUTE_KEY = re.compile(r"(DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /\S*")
ROUTE_KEY_LIMIT = 64  # characters: a route's key is also its OperationName, by which it is known again
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # an index's too
KEY_LIMIT = 255  # characters
# The API's name is a part of the roles' names and of the mark too, which take no other characters.
API_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
STAGE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
AUTHORIZER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]+")
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
RESERVED_VARIABLES = {
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
}


def load(prefix: str = "") -> Definition:
    """Return the definition of stack/definition.py, checked, under names that start with ``prefix``.

    Raises DeployError with the file and the line of whatever is wrong in it.
    """
    try:
        from stack import definition
    except SyntaxError as error:
        if error.filename != str(PATH):
            raise
        raise DeployError(f"{FILE}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(PATH)]
        if not lines:
            raise
        raise DeployError(f"{FILE}, line {lines[-1]}: {error}") from error
    found = getattr(definition, "DEFINITION", None)
    if not isinstance(found, Definition):
        raise DeployError(f"{FILE}: DEFINITION is missing; write DEFINITION = Definition(…)")
    prefixed = found.prefixed(prefix)
    check(prefixed)
    return prefixed


def check(definition: Definition) -> None:
    """Raise DeployError for the first entry that AWS would not take, or that contradicts another."""
    _check_text(definition, "api", definition.api)
    if not API_NAME.fullmatch(definition.stack_name):
        raise error_at(
            definition, f"{definition.stack_name!r} cannot be an API's name; use 1 to 128 of A-Z a-z 0-9 _ . -"
        )
    _check_text(definition, "stage", definition.stage)
    if not STAGE_NAME.fullmatch(definition.stage):
        raise error_at(definition, f"{definition.stage!r} cannot be a stage name; use 1 to 128 of A-Z a-z 0-9 _ -")
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
        raise error_at(definition, "authorizer must be an Authorizer")
    _check_text(definition.authorizer, "the name of the authorizer", definition.authorizer.name)
    if not AUTHORIZER_NAME.fullmatch(definition.authorizer.name):
        raise error_at(
            definition.authorizer,
            f"{definition.authorizer.name!r} cannot be an authorizer's name; use 1 to 128 of A-Z a-z 0-9 _ . -",
        )
    if definition.authorizer.function not in {function.name for function in functions}:
        raise error_at(
            definition.authorizer,
            f"the authorizer's function {definition.authorizer.function!r} is not among the functions; add it",
        )
    if definition.authorizer_function.routes:
        raise error_at(definition.authorizer_function, "the authorizer's function cannot have routes; remove them")


def _check_table(definition: Definition, table: Table) -> None:
    _check_text(table, "the name of a table", table.name)
    _check_text(table, f"key of {table.name!r}", table.key)
    if len(table.key) > KEY_LIMIT:
        raise error_at(table, f"key of {table.name!r} is too long; use at most {KEY_LIMIT} characters")
    if not TABLE_NAME.fullmatch(definition.table_name(table)):
        raise error_at(
            table,
            f"{definition.table_name(table)!r} cannot be a table name; use 3 to 255 of A-Z a-z 0-9 _ . -",
        )
    of = f"of {table.name!r}"
    for index in _tuple(table, f"indexes {of}", table.indexes):
        if not isinstance(index, Index):
            raise error_at(table, f"indexes {of} has {index!r}, which is not an Index; write Index(…)")
        for name, value in (("name", index.name), ("key", index.key), ("sort", index.sort)):
            _check_text(index, f"{name} of an index {of}", value)
        if not TABLE_NAME.fullmatch(index.name):
            raise error_at(index, f"{index.name!r} cannot be an index name; use 3 to 255 of A-Z a-z 0-9 _ . -")
    _check_unique("index", ((index, index.name) for index in table.indexes))
    _check_text(table, f"ttl {of}", table.ttl, empty=True)


def _check_function(definition: Definition, function: Function, tables: set[str]) -> None:
    _check_text(function, "the name of a function", function.name)
    if not FUNCTION_NAME.fullmatch(definition.function_name(function)):
        raise error_at(
            function,
            f"{definition.function_name(function)!r} cannot be a function name; use 1 to 64 of A-Z a-z 0-9 _ -",
        )
    of = f"of {function.name!r}"
    for route in _tuple(function, f"routes {of}", function.routes):
        if not isinstance(route, Route):
            raise error_at(function, f"routes {of} has {route!r}, which is not a Route; write {_as_route(route)}")
        if not isinstance(route.key, str) or not ROUTE_KEY.fullmatch(route.key) or len(route.key) > ROUTE_KEY_LIMIT:
            raise error_at(
                route if route.line else function,
                f"{route.key!r} cannot be a route; write a method and a path, such as 'GET /stats/{{code}}', "
                f"of at most {ROUTE_KEY_LIMIT} characters",
            )
        if not isinstance(route.authorized, bool):
            raise error_at(route, f"authorized of {route.key!r} must be True or False")
    for name, value in (("reads", function.reads), ("writes", function.writes), ("settings", function.settings)):
        for one in _tuple(function, f"{name} {of}", value):
            _check_text(function, f"each of {name} {of}", one)
            if name != "settings" and one not in tables:
                raise error_at(function, f"{name} {of} names the table {one!r}, which is not among the tables; add it")
    if not isinstance(function.variables, Mapping):
        raise error_at(function, f"variables {of} must be a dictionary; write {{'NAME': 'value'}}")
    for variable, text in function.variables.items():
        if not isinstance(variable, str) or not VARIABLE.fullmatch(variable):
            raise error_at(function, f"{variable!r} in variables {of} cannot be the name of an environment variable")
        if variable in RESERVED_VARIABLES:
            raise error_at(
                function, f"{variable!r} in variables {of} is a name that Lambda keeps for itself; use another"
            )
        _check_text(function, f"{variable} in variables {of}", text, empty=True)


def _members(definition: Definition, name: str, value: Any, kind: type) -> tuple[Any, ...]:
    """Return the entries of ``tables`` or ``functions``; raise DeployError unless all are of the kind."""
    for number, entry in enumerate(_tuple(definition, name, value)):
        if not isinstance(entry, kind):
            shown = "..." if entry is ... else repr(entry)
            fix = "remove it" if entry is ... else f"write {kind.__name__}(…)"
            message = f"{name} has {shown}, which is not a {kind.__name__}; {fix}"
            raise error_at(_line_of_member(name, number) or definition.line, message)
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


def _tuple(entry: Entry, name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple):
        return value
    fix = "use ( ) in place of [ ]" if isinstance(value, list) else "add a trailing comma"
    if isinstance(value, bool | int) or value is None or value is ...:
        fix = "write () for none"
    raise error_at(entry, f"{name} must be a tuple; {fix}")


def _check_text(entry: Entry, name: str, value: Any, empty: bool = False) -> None:
    if not isinstance(value, str) or not (value or empty):
        raise error_at(entry, f"{name} must be text, not {'...' if value is ... else repr(value)}; put it in quotes")


def _check_unique(kind: str, named: Iterable[tuple[Entry, str]]) -> None:
    seen: dict[str, Entry] = {}
    for entry, name in named:
        if name in seen:
            at = f" (the first is on line {seen[name].line})" if seen[name].line else ""
            raise error_at(entry, f"duplicate {kind} {name!r}{at}; remove one of the two")
        seen[name] = entry


def _as_route(value: Any) -> str:
    return f'Route("{value}")' if isinstance(value, str) else "Route(…)"
