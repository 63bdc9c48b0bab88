"""Provide stacks to the tests: one for all that only ask it, and one for each test that breaks things."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from project import DEFAULTS, Project, Stack

# What a developer's shell may have set, and a test must not see: accounts, proxies, engines, and each setting.
FOREIGN = ("AWS_", "LOCALSTACK_", "MINISTACK_", "COMPOSE_", "GATEWAY_")
SLOW = ("deployment", "engine", "scripts", "localstack")  # folders whose tests wait for engines of their own


def pytest_configure() -> None:
    for name in [*os.environ]:
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy") or name in (*DEFAULTS, "ENGINE", "PYTHON"):
            del os.environ[name]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ[name] = os.devnull  # instead of ~/.aws


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stack-url", metavar="URL", help="run the HTTP part against the stack whose API is at URL")
    parser.addoption("--compose", action="store_true", help="run the tests that need a Docker engine too")
    parser.addoption("--browser", action="store_true", help="run the tests that need Chromium or Chrome too")
    parser.addoption("--search", action="store_true", help="search longer: more faults, more examples")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def wanted(item: pytest.Item) -> bool:
        if config.getoption("--stack-url") and item.get_closest_marker("http") is None:
            return False
        return bool(config.getoption("--search")) or item.get_closest_marker("search") is None

    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]
    for marker, need in (("compose", "a Docker engine"), ("browser", "Chromium or Chrome")):
        if not config.getoption(f"--{marker}"):
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=f"needs {need}: scripts/test.sh --{marker}"))
    items.sort(key=lambda item: item.path.parent.name not in SLOW)  # so that no worker waits for a slow one at the end


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a copy of the checkout whose stack is up, for tests that leave it as they find it."""
    with Project.standing(tmp_path_factory.mktemp("shared")) as project:
        yield project


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Stack:
    """Return the stack to ask: the one of --stack-url, or the shared one."""
    url: str | None = request.config.getoption("--stack-url")
    if url:
        return Stack(url.rstrip("/"))
    project: Project = request.getfixturevalue("shared")
    return project.stack


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Yield a copy of the checkout that the test may edit and break, with nothing running yet."""
    project = Project.copy(tmp_path)
    yield project
    project.discard()
