"""Provide stacks to the tests: one for all that only ask it, and one for each test that breaks things."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader, Loader
from xdist.scheduler import LoadScopeScheduling

import builds
from containers import LOCALSTACK, Containers
from project import DEFAULTS, Project, Stack

# What a developer's shell may have set, and a test must not see: accounts, proxies, engines, and each setting.
FOREIGN = ("AWS_", "LOCALSTACK_", "MINISTACK_", "COMPOSE_", "GATEWAY_")
LEFT_OUT = pytest.StashKey["Counter[str]"]()
PAGE_TESTS = Path(__file__).with_name("browser") / "test_page.py"
FIRST = ("aws", "engine", "tokens", "scripts", "targets", "deployment", "http")  # folders, the slowest files first
TOGETHER = "tests/http/"  # whose tests ask one stack, and are run by one process


def pytest_configure() -> None:
    for name in [*os.environ]:
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy") or name in (*DEFAULTS, "ENGINE", "PYTHON"):
            del os.environ[name]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ[name] = os.devnull  # instead of ~/.aws


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stack-url", metavar="URL", help="run the HTTP part against the stack whose API is at URL")
    parser.addoption(
        "--localstack",
        action="store_true",
        help="run the HTTP part, and LocalStack's own, on LocalStack in Docker",
    )
    parser.addoption("--compose", action="store_true", help="run the tests that need a Docker engine too")
    parser.addoption("--browser", action="store_true", help="run the tests that need Chromium or Chrome too")
    parser.addoption("--screenshot", action="store_true", help="write docs/page.png too, with --browser")
    parser.addoption("--long", action="store_true", help="run the whole sessions of scripts too, as CI does")
    parser.addoption("--search", action="store_true", help="search longer: more faults, more examples")


NEEDS = {
    "compose": "a Docker engine",
    "browser": "Chromium or Chrome",
    "localstack": "LocalStack",
    "screenshot": "to be asked for",
    "long": "a minute more, which CI takes",
    "search": "time",
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot be imported without the packages that scripts/test.sh installs for --browser."""
    return True if collection_path == PAGE_TESTS and not config.getoption("--browser") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = {marker for marker in NEEDS if config.getoption(f"--{marker}")}
    files = [argument for argument in config.args if argument.partition("::")[0].endswith(".py")]
    if config.getoption("--search") or files:
        wanted.add("long")
    left_out = {
        item: marker for item in items for marker in NEEDS if item.get_closest_marker(marker) and marker not in wanted
    }
    only = {"http"} if config.getoption("--stack-url") else set()
    if config.getoption("--localstack"):
        only = {"http", "localstack"}
    if only:
        left_out |= {item: "" for item in items if not only & {marker.name for marker in item.iter_markers()}}
    config.stash[LEFT_OUT] = Counter(marker for marker in left_out.values() if marker)
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]
    order = {name: place for place, name in enumerate(FIRST)}  # so that no process waits for a slow file at the end
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Give the tests of a file, and of the folder TOGETHER, to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    return [
        f"left out: {count} tests that need {NEEDS[marker]} (--{marker} runs them)"
        for marker, count in config.stash[LEFT_OUT].items()
    ]


@pytest.fixture(scope="session", autouse=True)
def models() -> Iterator[dict[str, Any]]:
    """Have the AWS SDK read each model of its own once, which takes half of the time that its clients take."""
    read, models = JSONFileLoader.load_file, {}

    def read_once(loader: JSONFileLoader, path: str) -> Any:
        if not path.startswith(Loader.BUILTIN_DATA_PATH):
            return read(loader, path)
        if path not in models:
            models[path] = read(loader, path)
        return models[path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", read_once)
        yield models


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a copy of the checkout whose stack is up, for tests that leave it as they find it."""
    folder = tmp_path_factory.mktemp("shared")
    localstack = request.config.getoption("--localstack")
    with Containers.standing(folder, **LOCALSTACK) if localstack else builds.standing(folder) as project:
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


@pytest.fixture
def code() -> str:
    """Return a code that no other link has, in this run or another."""
    return f"test-{secrets.token_hex(8)}"
