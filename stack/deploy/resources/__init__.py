"""One module a kind of resource.

``ensure`` creates it if it is missing, updates what differs and leaves the rest. ``removals``
yields what takes away those that the definition has no more; with ``everything``, all of them.
"""

from collections.abc import Callable, Iterable, Iterator

from botocore.exceptions import ClientError

from stack.aws import NotSent
from stack.deploy.steps import Change, Ensured, side_by_side

Removals = Iterator[tuple[str, Callable[[], Ensured]]]


def removal(delete: Callable[[], object], *gone: type[Exception]) -> Callable[[], Ensured]:
    """Return a step that deletes a resource; ``gone`` is what AWS raises if another build was faster."""

    def remove() -> Ensured:
        try:
            delete()
        except gone:
            return Ensured(Change.UNCHANGED, "")
        except NotSent:
            return Ensured(Change.REMOVE, "")
        return Ensured(Change.REMOVED, "")

    return remove


def may_be_ours(look: Callable[[], bool]) -> bool:
    """Return what a look at a resource that the definition does not name finds: False where one may not look."""
    try:
        return look()
    except ClientError as error:
        if error.response["Error"].get("Code") not in ("AccessDenied", "AccessDeniedException"):
            raise
        return False


def left() -> Ensured:
    """Leave a resource that has one of our names, and that somebody else made: a step of a removal."""
    return Ensured(Change.LEFT, "")


def remove(kind: str, removals: Iterable[tuple[str, Callable[[], Ensured]]]) -> None:
    """Run removals of one kind, side by side."""
    with side_by_side() as steps:
        for name, step in list(removals):
            steps.start(kind, name, step)
