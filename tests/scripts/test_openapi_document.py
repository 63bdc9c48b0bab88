"""openapi.yaml has the routes that are deployed, and no other; what they answer is asked in tests/http."""

from typing import Any

import yaml

from project import CHECKOUT
from stack.definition import DEFINITION

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
DOCUMENT: dict[str, Any] = yaml.safe_load((CHECKOUT / "openapi.yaml").read_text())


def test_it_has_the_routes_that_are_deployed_and_no_other() -> None:
    described = {
        f"{method.upper()} {path}": operation
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    routes = {route.key: route for route in DEFINITION.routes}
    assert set(described) == set(routes)
    assert {key for key, one in described.items() if one.get("security")} == {
        key for key, route in routes.items() if route.authorized
    }
