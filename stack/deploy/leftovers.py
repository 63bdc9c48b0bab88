"""What an earlier definition had and this one has not: found, and removed.

Ours is what carries our mark: a route whose operation is named like the route, an integration
that is described as a function's, a function that is described as a part of the stack. What
somebody made beside these stays.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from stack.aws import Aws
from stack.definition import AUTHORIZER_FUNCTION, FUNCTIONS, MARK
from stack.deploy.resources import integration
from stack.deploy.resources.api_parts import pages
from stack.deploy.resources.permission import STATEMENT_ID, statement
from stack.deploy.steps import Change, Ensured, Step


def found(aws: Aws, api_id: str) -> Iterator[list[Step]]:
    """Steps that remove what is left over, in the order that AWS asks for: what leads to a part goes before it."""
    gateway, client = aws["apigatewayv2"], aws["lambda"]
    no_part, no_function = gateway.exceptions.NotFoundException, client.exceptions.ResourceNotFoundException

    routes = {route.key for function in FUNCTIONS for route in function.routes}
    yield [
        _removal("route", key, no_part, gateway.delete_route, ApiId=api_id, RouteId=one["RouteId"])
        for one in pages(gateway.get_routes, ApiId=api_id)
        if (key := one["RouteKey"]) == one.get("OperationName") and key not in routes
    ]

    prefix = integration.description("")
    routed = {function.name for function in FUNCTIONS if function.routes}
    yield [
        _removal(
            "integration", name, no_part, gateway.delete_integration, ApiId=api_id, IntegrationId=one["IntegrationId"]
        )
        for one in pages(gateway.get_integrations, ApiId=api_id)
        if (text := one.get("Description", "")).startswith(prefix) and (name := text.removeprefix(prefix)) not in routed
    ]

    names = {function.name for function in FUNCTIONS}
    yield [
        _removal("function", name, no_function, client.delete_function, FunctionName=name)  # its policy goes with it
        for page in client.get_paginator("list_functions").paginate()
        for one in page["Functions"]
        if one.get("Description") == MARK and (name := one["FunctionName"]) not in names
    ]

    yield [
        _removal("permission", name, no_function, client.remove_permission, FunctionName=name, StatementId=STATEMENT_ID)
        for name in sorted(names - routed - {AUTHORIZER_FUNCTION.name})
        if statement(client, name)
    ]


def _removal(kind: str, name: str, gone: type[Exception], remove: Any, **what: str) -> Step:
    def ensure() -> Ensured:
        with contextlib.suppress(gone):  # another build was faster
            remove(**what)
        return Ensured(Change.REMOVED, name)

    return Step(kind, name, ensure)
