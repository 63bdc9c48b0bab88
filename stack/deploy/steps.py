"""The steps of a build: run side by side where they may be, repeated in a conflict, and one printed line for each."""

import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import ClientError

from stack.errors import DeployError

AT_ONCE = 10  # steps; as many as botocore keeps connections
CONFLICT_TIMEOUT = 20  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2  # seconds

# What AWS answers when another build, or a person, changes the same resource at the same time.
CONFLICTS = {
    "ConcurrentModification",
    "ConcurrentModificationException",
    "ConflictException",
    "EntityAlreadyExists",
    "NoSuchEntity",
    "NotFoundException",
    "ResourceConflictException",
    "ResourceInUseException",
    "ResourceNotFoundException",
}


class Change(StrEnum):
    """Name what a step did, or found."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    LOADED = "loads"
    ACTIVE = "active"
    ANSWERED = "answered"
    REMOVED = "removed"


@dataclass(frozen=True)
class Ensured:
    """A resource that is now as the definition has it: what that took, and the ID or ARN it goes by."""

    change: Change
    id: str


class Steps:
    """Starts steps side by side, each of which ensures one resource."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self.started: list[Future[str]] = []

    def start(self, kind: str, name: str, ensure: Callable[[], Ensured]) -> "Future[str]":
        """Start a step. Its result is the resource's ID; kind and name are for the reader of its line.

        ``ensure`` is called again while AWS reports a conflict, so it must look before it acts.
        """
        step = self._pool.submit(_run, kind, name, ensure)
        self.started.append(step)
        return step


@contextlib.contextmanager
def side_by_side() -> Iterator[Steps]:
    """Yield Steps, and wait at the end until all that were started have ended; then raise the first error."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        steps = Steps(pool)
        yield steps
        wait(steps.started)
    for step in steps.started:
        step.result()


def _run(kind: str, name: str, ensure: Callable[[], Ensured]) -> str:
    started = time.perf_counter()
    outcome = "failed"
    try:
        ensured = _without_conflict(kind, name, ensure)
        outcome = str(ensured.change)
    finally:
        milliseconds = (time.perf_counter() - started) * 1000
        # One write, newline and all, so that two threads' lines do not mix.
        sys.stdout.write(f"  {kind:<11} {name:<22} {outcome:<9} {milliseconds:6.0f} ms\n")
        sys.stdout.flush()
    return ensured.id


def _without_conflict(kind: str, name: str, ensure: Callable[[], Ensured]) -> Ensured:
    deadline = time.monotonic() + CONFLICT_TIMEOUT
    pause = FIRST_PAUSE
    while True:
        try:
            return ensure()
        except ClientError as error:
            if error.response["Error"].get("Code") not in CONFLICTS:
                raise
            if time.monotonic() + pause > deadline:
                raise DeployError(
                    f"{kind} {name} was in conflict with another change for {CONFLICT_TIMEOUT} s: make sure that no "
                    f"other build is running, and build again ({error})"
                ) from error
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 # so that two builds do not meet again
        pause = min(2 * pause, LONGEST_PAUSE)


def drift(current: Mapping[str, object], desired: Mapping[str, object]) -> bool:
    """Return True if a setting that we decide differs; the order of a list's members does not count."""
    return any(_plain(current.get(key)) != _plain(value) for key, value in desired.items())


def _plain(value: object) -> object:
    match value:
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return sorted(map(str, value))
    return value
