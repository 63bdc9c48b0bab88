"""Load the functions under test, with a real DynamoDB engine behind them and at a fixed time."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from . import table as tables
from .functions import Function, load
from .table import Table
from .tokens import NOW, SECRET

# HYPOTHESIS_PROFILE=search looks further: other examples each time, and many more.
settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None, database=None)
settings.register_profile(
    "search", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Yield the table, for tests that empty it themselves: Hypothesis runs a test many times."""
    with tables.engine(tmp_path_factory.mktemp("engine")) as url:
        table = Table.create(url)
        yield table
        table.client.close()


@pytest.fixture
def links(table: Table) -> Table:
    """Return the table, with no links in it."""
    table.empty()
    return table


@pytest.fixture(scope="session")
def shorten(table: Table) -> Iterator[Function]:
    function = load("shorten", TABLE=tables.NAME, AWS_ENDPOINT_URL=table.engine)
    yield function
    function.modules["common.table"].dynamodb.close()


@pytest.fixture(scope="session")
def redirect(table: Table) -> Iterator[Function]:
    function = load("redirect", TABLE=tables.NAME, AWS_ENDPOINT_URL=table.engine)
    yield function
    function.modules["common.table"].dynamodb.close()


@pytest.fixture(scope="session")
def owners(table: Table) -> Iterator[Function]:
    """Yield the function ``links``."""
    function = load("links", TABLE=tables.NAME, AWS_ENDPOINT_URL=table.engine)
    yield function
    function.modules["common.table"].dynamodb.close()


@pytest.fixture(scope="session")
def authorizer() -> Function:
    """Return the authorizer with neither issuer nor audience set, at NOW."""
    function = load("authorizer", JWT_SECRET=SECRET)
    function.stop_clock(NOW)
    return function


@pytest.fixture(scope="session")
def strict_authorizer() -> Function:
    """Return the authorizer of issuer ``issuer-1`` and audience ``audience-1``, at NOW."""
    function = load("authorizer", JWT_SECRET=SECRET, JWT_ISSUER="issuer-1", JWT_AUDIENCE="audience-1")
    function.stop_clock(NOW)
    return function
