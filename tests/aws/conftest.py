"""An account: an engine that has nothing, for tests to build in as if it were AWS."""

from collections.abc import Iterator

import pytest

import builds
from aws.ways import DEPLOYER
from engine.bare import Engine
from project import Project


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a checkout before an engine in which nothing is built."""
    folder = tmp_path_factory.mktemp("account")
    (folder / "engine").mkdir()
    engine = Engine.fresh(folder / "engine").start()
    project = Project.copy(folder, HOST_PORT=str(engine.port))
    project.outputs.mkdir()
    yield project
    engine.kill()


@pytest.fixture
def account(alone: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An account without any resource, and the deployer's credentials in the environment."""
    builds.empty(alone)
    monkeypatch.setattr("stack.deploy.loading.check", lambda *_: None)  # AWS's deployers import no function's code
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", DEPLOYER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return alone
