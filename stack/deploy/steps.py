"""The steps of a build: run side by side where they may be, and one printed line for each."""

import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum


class Change(StrEnum):
    """What a step did, or found."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    ANSWERED = "answered"
    REMOVED = "removed"


@dataclass(frozen=True)
class Ensured:
    """A resource that is now as it should be: what that took, and the ID or ARN it goes by."""

    change: Change
    id: str


@dataclass(frozen=True)
class Step:
    """One resource to ensure: its kind and name for the reader, and how."""

    kind: str
    name: str
    ensure: Callable[[], Ensured]


def together(*steps: Step) -> dict[tuple[str, str], str]:
    """Run the steps side by side and return what each made: its ID, under its kind and name.

    All of them are run to their end, whatever happens to one; then the first error is raised.
    """
    with ThreadPoolExecutor(len(steps) or 1) as pool:
        running = {(step.kind, step.name): pool.submit(_run, step) for step in steps}
    return {step: one.result() for step, one in running.items()}


def _run(step: Step) -> str:
    started = time.perf_counter()
    outcome = "failed"
    try:
        ensured = step.ensure()
        outcome = str(ensured.change)
    finally:
        milliseconds = (time.perf_counter() - started) * 1000
        # One write, newline and all, so that two threads' lines do not mix.
        sys.stdout.write(f"  {step.kind:<11} {step.name:<22} {outcome:<9} {milliseconds:6.0f} ms\n")
        sys.stdout.flush()
    return ensured.id


def drift(current: Mapping[str, object], desired: Mapping[str, object]) -> bool:
    """Whether a setting that we decide differs; the order of a list's members does not count."""
    return any(_plain(current.get(key)) != _plain(value) for key, value in desired.items())


def _plain(value: object) -> object:
    match value:
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return sorted(map(str, value))
    return value
