"""Engines for the tests: one for all that only ask it, and one of its own for each that breaks things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bare import Engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Yield an engine that is up."""
    engine = Engine.fresh(tmp_path_factory.mktemp("engine")).start()
    yield engine
    engine.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Engine]:
    """Yield an engine that does not run yet."""
    engine = Engine.fresh(tmp_path)
    yield engine
    engine.close()
