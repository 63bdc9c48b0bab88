"""The shortener's routes are described; a function that a user added may be, and need not be."""

from typing import Any

import yaml

from project import CHECKOUT
from stack.definition import DEFINITION

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
# The functions that this project comes with. Describe their routes for the clients that rely on them.
SHORTENER = ("shorten", "redirect", "authorizer", "links", "page")
DOCUMENT: dict[str, Any] = yaml.safe_load((CHECKOUT / "openapi.yaml").read_text())
DOCUMENTATION = "\n".join(path.read_text() for path in (CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")))
AUTHORIZED = {route.key: route.authorized for route in DEFINITION.routes}
OWN = {route.key for function in DEFINITION.functions if function.name in SHORTENER for route in function.routes}


def test_openapi_yaml_describes_the_shorteners_routes_and_none_that_is_not_deployed() -> None:
    described = {
        f"{method.upper()} {path}": bool(operation.get("security"))
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    assert set(described) >= OWN
    assert described.items() <= AUTHORIZED.items()


def test_the_documentation_has_a_row_for_each_of_the_shorteners_routes() -> None:
    assert [key for key in OWN if f"| `{key}" not in DOCUMENTATION] == []
