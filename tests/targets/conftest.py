"""Where a client of the local engine must not go."""

from collections.abc import Iterator

import pytest

from listener import Listener, listener


@pytest.fixture
def elsewhere() -> Iterator[Listener]:
    with listener() as listening:
        yield listening
