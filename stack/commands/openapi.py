"""Bring openapi.yaml's paths up to date with the routes of stack/definition.py."""

import ast
import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stack.definition import DEFINITION
from stack.model import Function, Route
from stack.settings import PROJECT

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def update(document: Path = PROJECT / "openapi.yaml", lambdas: Path = PROJECT / "lambdas") -> list[str]:
    """Describe routes that are new, take out those that are gone, and leave the rest; what was done, in words.

    The description of a new one is a start: what the definition and the handler's docstring say.
    """
    yaml = YAML()
    yaml.preserve_quotes = yaml.brace_single_entry_mapping_in_flow_sequence = True  # as they are written
    yaml.width = 200
    yaml.indent(mapping=2, sequence=4, offset=2)
    described = yaml.load(document.read_text())
    paths = described["paths"]
    wanted = {route.key: (function, route) for function in DEFINITION.functions for route in function.routes}
    there = {f"{method.upper()} {path}" for path, item in paths.items() for method in item if method in METHODS}
    for key in sorted(there - wanted.keys()):
        method, path = key.split(" ", 1)
        del paths[path][method.lower()]
        if not any(name in METHODS for name in paths[path]):
            del paths[path]
    for key in sorted(wanted.keys() - there):
        method, path = key.split(" ", 1)
        item = paths.setdefault(path, {})
        if "parameters" not in item and (names := re.findall(r"{(\w+)\+?}", path)):
            schema = {"type": "string", "minLength": 1}
            item["parameters"] = [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
        item[method.lower()] = operation(*wanted[key], lambdas)
    changes = [f"described {key}" for key in sorted(wanted.keys() - there)]
    changes += [f"took out {key}" for key in sorted(there - wanted.keys())]
    if changes:
        text = io.StringIO()
        yaml.dump(described, text)
        # The empty line before the next section belongs to the path before it, for ruamel.
        document.write_text(re.sub(r"\n+(?=components:)", "\n\n", text.getvalue()))
    return changes


def operation(function: Function, route: Route, lambdas: Path) -> dict[str, Any]:
    """A first description of a route."""
    alone = len(function.routes) == 1
    described: dict[str, Any] = {
        "operationId": function.name if alone else f"{function.name}{route.key.split()[0].title()}"
    }
    module = ast.parse((lambdas / function.name / "handler.py").read_text())
    if docstring := ast.get_docstring(module):
        described["summary"] = docstring.splitlines()[0].replace("``", "")
    if route.authorized:
        described["security"] = [{"token": []}]
    described["responses"] = {"default": {"description": "To be described."}}
    return described


def main() -> None:
    for change in update():
        print(f"openapi.yaml: {change}")


if __name__ == "__main__":
    main()
