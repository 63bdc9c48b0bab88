"""The parts of an API that have IDs of API Gateway's choosing, and so are found by listing."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, Literal

from stack.aws import Aws
from stack.deploy.steps import Change, Ensured, drift


def pages(operation: Any, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Every item that a Get… operation of API Gateway lists, over all of its pages."""
    while True:
        page = operation(**arguments)
        yield from page["Items"]
        if not page.get("NextToken"):
            return
        arguments["NextToken"] = page["NextToken"]


def converge(
    aws: Aws,
    api_id: str,
    kind: Literal["integration", "authorizer", "route"],
    desired: dict[str, Any],
    name: str,
    trait: str,
    siblings: Collection[str] = (),
) -> Ensured:
    """Make the API have exactly one part of this kind that is ours, with the desired settings.

    ``name`` and ``trait`` are the two settings by which a part is known again when others were
    changed by hand: ours is what has our name, or our trait and no name of ``siblings``, which
    belongs to another step that may be at work on it. Of several the one with our name is kept;
    the rest are leftovers of a build that was cut off, and deleted.
    """
    gateway = aws["apigatewayv2"]
    id_name = f"{kind.title()}Id"
    list_parts, delete_part = getattr(gateway, f"get_{kind}s"), getattr(gateway, f"delete_{kind}")

    def find() -> dict[str, dict[str, Any]]:
        listed = list(pages(list_parts, ApiId=api_id))
        named = [part for part in listed if part.get(name) == desired[name]]
        alike = [part for part in listed if part.get(trait) == desired[trait] and part.get(name) not in siblings]
        return {part[id_name]: part for part in named + alike}

    found = find()
    change = Change.UNCHANGED
    if not found:
        getattr(gateway, f"create_{kind}")(ApiId=api_id, **desired)
        change = Change.CREATED
        found = find()  # more than one, if the answer was lost and the call tried again
    (kept, current), *surplus = found.items()
    for part_id, _ in surplus:
        with contextlib.suppress(gateway.exceptions.NotFoundException):  # another build was faster
            delete_part(ApiId=api_id, **{id_name: part_id})
        change = change if change is Change.CREATED else Change.UPDATED
    if drift(current, desired):
        getattr(gateway, f"update_{kind}")(ApiId=api_id, **{id_name: kept}, **desired)
        change = Change.UPDATED
    return Ensured(change, kept)
