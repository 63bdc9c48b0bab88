"""An account: an engine that has nothing, for tests to build in as if it were AWS."""

from collections.abc import Iterator

import pytest

import builds
from aws.ways import DEPLOYER
from project import Project


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Project.standing(tmp_path_factory.mktemp("account")) as project:
        yield project


@pytest.fixture
def account(engine: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An account without any resource, and the deployer's credentials in the environment."""
    builds.empty(engine)
    monkeypatch.setattr("stack.deploy.loading.check", lambda *_: None)  # AWS's deployers import no function's code
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", DEPLOYER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return engine
