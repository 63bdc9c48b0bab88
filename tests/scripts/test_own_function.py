"""A user's own function leaves the tests and checks green: nothing in them counts the project's functions."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project import CHECKOUT, Project

RECIPE = (CHECKOUT / "docs/add-your-own.md").read_text()
HANDLER, *_ = re.findall(r"```python\n(.*?)```", RECIPE, re.DOTALL)
# The tests that read the definition and need no engine; those that do take what they compare with from it too.
CHECKS = ("tests/scripts/test_documented_routes.py", "tests/scripts/test_readme.py")


@pytest.fixture
def checkout(tmp_path: Path) -> Project:
    """Return a copy of the checkout with its tests and documentation, and one more function."""
    project = Project.copy(tmp_path)
    for name in ("tests", "docs", ".ci", "bench"):
        shutil.copytree(CHECKOUT / name, project.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CONTRIBUTING.md"):
        shutil.copy(CHECKOUT / name, project.folder)
    folder = project.folder / "lambdas/of-a-user"
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER)
    project.define('        Function("of-a-user", (Route("GET /of-a-user/{id}"),)),\n')
    return project


def test_the_tests_of_documents_pass_with_a_users_function(checkout: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=", "--import-mode=importlib", *CHECKS],
        cwd=checkout.folder,
        # Plugins take longer to load than these tests take to run.
        env={**checkout.environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
