"""Containers for the tests: one for all that only look at it, and one of its own for each that breaks things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import Containers
from project import Stack


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a stack that is up in Docker, for tests that leave it as they find it."""
    with Containers.standing(tmp_path_factory.mktemp("containers")) as containers:
        yield containers


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
