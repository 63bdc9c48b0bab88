import secrets

import pytest


@pytest.fixture
def code() -> str:
    """Return a code that no other link has, in this run or another."""
    return f"test-{secrets.token_hex(8)}"
