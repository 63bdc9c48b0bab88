"""Start one browser for all tests that a worker runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .chromium import executable

if TYPE_CHECKING:  # it is installed for --browser alone
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=executable()) as browser:
        yield browser
