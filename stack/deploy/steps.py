"""The steps of a build: run side by side where they may be, repeated in a conflict, and one printed line for each."""

import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from botocore.exceptions import ClientError

from stack.aws import NotSent
from stack.errors import DeployError

AT_ONCE = 10  # steps; as many as botocore keeps connections
CONFLICT_TIMEOUT = 20  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2  # seconds

# What AWS answers when another build, or a person, changes the same resource at the same time, and while a new
# table is not ready for backups.
CONFLICTS = {
    "ConcurrentModification",
    "ConcurrentModificationException",
    "ConflictException",
    "ContinuousBackupsUnavailableException",
    "EntityAlreadyExists",
    "NoSuchEntity",
    "NotFoundException",
    "OperationAbortedException",
    "ResourceAlreadyExistsException",
    "ResourceConflictException",
    "ResourceInUseException",
    "ResourceNotFoundException",
}


class Change(StrEnum):
    """Name what a step did, or found; in a plan, what it would do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    LOADED = "loads"
    ACTIVE = "active"
    ANSWERED = "answered"
    REMOVED = "removed"
    LEFT = "left"  # somebody else made it
    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"


@dataclass(frozen=True)
class Ensured:
    """A resource that is now as the definition has it: what that took, and the ID or ARN it goes by."""

    change: Change
    id: str


class Steps:
    """Starts steps side by side, each of which ensures one resource."""

    ended: ClassVar[list[Change]] = []  # of all the steps of this process

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self.started: list[Future[str]] = []
        self.changes: list[Change] = []  # of those that have ended

    def start(self, kind: str, name: str, ensure: Callable[[], Ensured], planned_id: str = "planned") -> "Future[str]":
        """Start a step. Its result is the resource's ID; kind and name are for the reader of its line.

        ``ensure`` is called again while AWS reports a conflict, so it must look before it acts.
        ``planned_id`` is the result in a plan, for a resource that is yet to be made.
        """
        step = self._pool.submit(self._run, kind, name, ensure, planned_id)
        self.started.append(step)
        return step

    def _run(self, kind: str, name: str, ensure: Callable[[], Ensured], planned_id: str) -> str:
        started = time.perf_counter()
        outcome = "failed"
        try:
            try:
                ensured = _without_conflict(kind, name, ensure)
            except NotSent as planned:
                ensured = Ensured(Change.CREATE if planned.creates else Change.UPDATE, planned.id or planned_id)
            outcome = str(ensured.change)
            self.changes.append(ensured.change)
            Steps.ended.append(ensured.change)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            # One write, newline and all, so that two threads' lines do not mix.
            sys.stdout.write(f"  {kind:<11} {name:<22} {outcome:<9} {milliseconds:6.0f} ms\n")
            sys.stdout.flush()
        return ensured.id


@contextlib.contextmanager
def side_by_side() -> Iterator[Steps]:
    """Yield Steps, and wait at the end until all that were started have ended; then raise the first error."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        steps = Steps(pool)
        yield steps
        wait(steps.started)
    for step in steps.started:
        step.result()


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
