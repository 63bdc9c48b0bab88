"""The parts of an API that have IDs of API Gateway's choosing, and so are found by listing."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, Literal

from stack.aws import Aws, NotSent
from stack.deploy.steps import Change, Ensured, drift

Kind = Literal["integration", "authorizer", "route"]
Parts = dict[str, dict[str, Any]]


def pages(operation: Any, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield every item that a Get… operation of API Gateway lists, over all of its pages."""
    while True:
        page = operation(**arguments)
        yield from page["Items"]
        if not page.get("NextToken"):
            return
        arguments["NextToken"] = page["NextToken"]


def find(aws: Aws, api_id: str, kind: Kind) -> Parts:
    """Return the parts of this kind that the API has, by their IDs; an API that is only planned has none."""
    gateway = aws["apigatewayv2"]
    try:
        listed = list(pages(getattr(gateway, f"get_{kind}s"), ApiId=api_id))
    except gateway.exceptions.NotFoundException:
        return {}
    return {part[f"{kind.title()}Id"]: part for part in listed}


def are_there(aws: Aws, api_id: str, kind: Kind, ids: Collection[str]) -> bool:
    """Return whether the API has all parts with these IDs: what lists have or not, it is found by its ID at once."""
    gateway = aws["apigatewayv2"]
    try:
        for one in ids:
            getattr(gateway, f"get_{kind}")(ApiId=api_id, **{f"{kind.title()}Id": one})
    except gateway.exceptions.NotFoundException:
        return False
    return True


def converge(
    aws: Aws, api_id: str, kind: Kind, desired: dict[str, Any], known_by: str, listed: Parts | None = None
) -> Ensured:
    """Make the API have exactly one part of this kind that is ours, with the desired settings.

    ``known_by`` is the setting by which ours is known again: nobody else gives it that value. ``listed`` are
    the parts that the API has, if the caller has just looked. Of several that are ours one is kept, the same in all
    builds; the others were left by a call whose answer was lost, or by a build at the same time, and are deleted as
    soon as no route leads to them.
    """
    gateway = aws["apigatewayv2"]
    id_name = f"{kind.title()}Id"

    def ours(listed: Parts) -> Parts:
        return {one: part for one, part in listed.items() if part.get(known_by) == desired[known_by]}

    found = ours(find(aws, api_id, kind) if listed is None else listed)
    change = Change.UNCHANGED
    if not found:
        created = getattr(gateway, f"create_{kind}")(ApiId=api_id, **desired)
        change = Change.CREATED
        # AWS lists it later. There are more than one if the answer was lost and the call tried again.
        found = {created[id_name]: created, **ours(find(aws, api_id, kind))}
    kept = min(found)
    current = found.pop(kept)
    changed = change if change is Change.CREATED else Change.UPDATED
    with NotSent.known_as(kept):
        for part_id in found:
            # Another build was faster, or a route leads to it.
            with contextlib.suppress(gateway.exceptions.NotFoundException, gateway.exceptions.ConflictException):
                getattr(gateway, f"delete_{kind}")(ApiId=api_id, **{id_name: part_id})
            change = changed
        if drift(current, desired):
            getattr(gateway, f"update_{kind}")(ApiId=api_id, **{id_name: kept}, **desired)
            change = changed
    return Ensured(change, kept)
