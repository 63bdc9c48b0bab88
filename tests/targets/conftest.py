"""Where a client of the local engine must not go."""

from collections.abc import Iterator

import pytest

from listener import Listener, listener


@pytest.fixture
def elsewhere() -> Iterator[Listener]:
    """Yield a server that no request must reach."""
    with listener() as listening:
        yield listening
