"""A stack for all tests of a file that change it and bring it back."""

from collections.abc import Iterator

import pytest

from project import Project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack that is up, whose resources and engine the tests change and empty as they like."""
    with Project.standing(tmp_path_factory.mktemp("built")) as project:
        yield project
