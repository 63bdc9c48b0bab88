"""One engine for all tests that build: each of them finds the whole stack on it, or nothing."""

import shutil
from collections.abc import Iterator

import pytest

import builds
from project import Project, answers


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a stack that is up, whose resources and engine the tests change and empty as they like."""
    with builds.standing(tmp_path_factory.mktemp("built")) as project:
        yield project


@pytest.fixture
def bare(standing: Project) -> Iterator[Project]:
    """Yield an engine with nothing in it, before the test and after it."""
    if not answers(standing.engine):
        builds.start(standing)
    builds.empty(standing)
    yield standing
    if answers(standing.engine):
        builds.empty(standing)


@pytest.fixture
def few(bare: Project) -> Project:
    """Return a stack of a few functions, on an engine with nothing else, that the test need not bring back."""
    builds.succeed(bare, builds.FEW)
    return bare


@pytest.fixture
def built(standing: Project) -> Project:
    """Return a stack that is up. The test brings it back, or empties the engine."""
    if not answers(standing.engine):
        builds.start(standing)
    if not (standing.outputs / "api_id").exists():
        builds.empty(standing)
        builds.succeed(standing)
    return standing


@pytest.fixture
def spoilt(built: Project) -> Iterator[Project]:
    """Yield a stack that is up, and that the test need not bring back."""
    yield built
    if answers(built.engine):
        builds.empty(built)


@pytest.fixture
def desk(few: Project) -> Iterator[Project]:
    """Yield a stack of a few functions, to whose checkout the test may add others."""
    definition, lambdas = few.folder / "stack/definition.py", few.folder / "lambdas"
    source, folders = definition.read_text(), {*lambdas.iterdir()}
    yield few
    definition.write_text(source)
    for folder in {*lambdas.iterdir()} - folders:
        shutil.rmtree(folder)


@pytest.fixture
def shrunk(desk: Project) -> Project:
    """Return a stack of a few functions, whose own scripts and hooks build no more."""
    builds.shrink(desk)
    return desk
