"""Containers for the tests: one for all that only look at it, one a worker for what leaves it up, and own ones."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import Containers
from project import Stack


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a stack that is up, for tests that leave it as they find it, from the first worker to the last."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = tmp_path_factory.getbasetemp().parent / f"shared-{run}"
    folder.mkdir(exist_ok=True)
    there = folder / "stack.json"
    with (folder / "turn").open("w") as turn, (folder / "users").open("w") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if there.exists():
            checkout, settings = json.loads(there.read_text())
            containers = Containers(Path(checkout), settings)
        else:
            containers = Containers.fresh(tmp_path_factory.mktemp("containers"))
            try:
                containers.up()
            except BaseException:
                containers.discard()
                raise
            there.write_text(json.dumps([str(containers.folder), containers.settings]))
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield containers
        fcntl.flock(turn, fcntl.LOCK_EX)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there.unlink()
            containers.discard()


@pytest.fixture(scope="session")
def stack(shared: Containers) -> Stack:
    return shared.stack


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a stack of this worker's own, for tests that leave it up; its links are theirs to make and lose."""
    containers = Containers.fresh(tmp_path_factory.mktemp("running"))
    try:
        containers.compose_up()
        yield containers
    finally:
        containers.discard()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Containers]:
    """Yield a copy of the checkout that the test may edit and break, with nothing running yet."""
    containers = Containers.fresh(tmp_path)
    try:
        yield containers
    finally:
        containers.discard()
