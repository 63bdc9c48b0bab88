"""Containers for the tests: one for all that only look at it, and one of its own for each that breaks things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from project import Stack

from .containers import Containers


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a stack that is up in Docker, for tests that leave it as they find it."""
    containers = Containers.fresh(tmp_path_factory.mktemp("containers"))
    try:
        containers.up()
        yield containers
    finally:
        containers.discard()


@pytest.fixture(scope="session")
def stack(shared: Containers) -> Stack:
    return shared.stack


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Containers]:
    """Yield a copy of the checkout that the test may edit and break, with nothing running yet."""
    containers = Containers.fresh(tmp_path)
    try:
        yield containers
    finally:
        containers.discard()
