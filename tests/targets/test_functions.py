"""The functions of the embedded engine speak to that engine, whatever the user's ~/.aws says."""

from pathlib import Path

import pytest

from listener import Listener
from project import Project
from targets.homes import HOMES, at_home

# The one with a syntax error, which whoever reads it notices, is in test_local.
DISTRACTING = ("ignored endpoints", "services", "credentials")


@pytest.mark.search
@pytest.mark.parametrize("kind", DISTRACTING)
def test_nothing_in_the_home_folder_reaches_a_function(
    project: Project, elsewhere: Listener, tmp_path: Path, kind: str
) -> None:
    project.settings |= at_home(tmp_path, HOMES[kind], elsewhere)
    stack = project.up()
    code = stack.shorten({"long_url": "https://example.com/"}).json()["code"]
    assert stack.follow(code).status_code == 302
    assert elsewhere.connections == []
