"""The browser of this machine."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> str:
    """Return the path of Chromium or Chrome. Fail if there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, f"no browser: install one of {', '.join(NAMES)}"
    return found
