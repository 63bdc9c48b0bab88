"""An account: an engine that has nothing, for tests to build in as if it were AWS."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import builds
from aws.ways import DEPLOYER
from engine.bare import Engine
from project import Project
from stack.definition import DEFINITION
from stack.model import Definition


@dataclass
class Account(Project):
    """A checkout before an engine that is taken for AWS, and what is built there."""

    definition: Definition = builds.FEW


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
def account(alone: Project, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return an account without any resource, and put the deployer's credentials into the environment.

    A few functions meet every way of AWS; --search builds all of them.
    """
    builds.empty(alone)
    monkeypatch.setattr("stack.deploy.loading.check", lambda *_: None)  # AWS's deployers import no function's code
    for pause in ("function.NEW_ROLE_PAUSE", "http_api.LISTED_PAUSE", "table.LOOK_EVERY"):
        monkeypatch.setattr(f"stack.deploy.resources.{pause}", 0.1)  # for the tests' AWS is quicker
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", DEPLOYER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    whole = request.config.getoption("--search")
    return Account(alone.folder, alone.settings, DEFINITION if whole else builds.FEW)
