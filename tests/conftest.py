"""Stacks for the tests: one for all that only ask it, and one of its own for each that breaks things."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from project import DEFAULTS, Project, Stack


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


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """No test sees the developer's own AWS account, settings or proxies."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if (
                name.startswith(("AWS_", "LOCALSTACK_", "COMPOSE_"))
                or name in DEFAULTS
                or name.lower().endswith("_proxy")
            ):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the checkout with a stack that is up, for tests that leave it as they find it."""
    with Project.standing(tmp_path_factory.mktemp("shared")) as project:
        yield project


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Stack:
    """The stack to ask: the one of --stack-url, or the shared one."""
    url: str | None = request.config.getoption("--stack-url")
    if url:
        return Stack(url.rstrip("/"))
    project: Project = request.getfixturevalue("shared")
    return project.stack


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A copy of the checkout that the test may edit and break, with nothing running yet."""
    project = Project.copy(tmp_path)
    yield project
    project.run("scripts/down.sh")
