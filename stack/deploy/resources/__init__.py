"""One module a kind of resource.

``ensure`` creates it if it is missing, updates what differs and leaves the rest. ``removals``
yields what takes away those that the definition has no more.
"""

from collections.abc import Callable, Iterator

from stack.deploy.steps import Change, Ensured

Removals = Iterator[tuple[str, Callable[[], Ensured]]]


def removal(delete: Callable[[], object], *gone: type[Exception]) -> Callable[[], Ensured]:
    """Return a step that deletes a resource; ``gone`` is what AWS raises if another build was faster."""

    def remove() -> Ensured:
        try:
            delete()
        except gone:
            return Ensured(Change.UNCHANGED, "")
        return Ensured(Change.REMOVED, "")

    return remove
