"""The simulation that docs/scale.md argues with."""

import importlib.util
import sys
from types import ModuleType

import pytest

from project import CHECKOUT


@pytest.fixture(scope="module")
def counter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sharded_counter", CHECKOUT / "docs/sharded_counter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sharded_counter"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shards", [1, 4, 16])
def test_every_click_is_counted_or_throttled(counter: ModuleType, shards: int) -> None:
    outcome = counter.simulate(2500, shards, seconds=5)
    assert outcome.counted + outcome.throttled == outcome.offered == 12_500
    assert len(outcome.counts) == shards


def test_one_item_counts_a_thousand_clicks_a_second_at_most(counter: ModuleType) -> None:
    assert counter.simulate(900, 1, seconds=5).throttled == 0
    assert counter.simulate(5000, 1, seconds=5).counted == 5 * counter.WRITES_PER_SECOND


def test_shards_take_as_many_times_more_and_share_them_evenly(counter: ModuleType) -> None:
    outcome = counter.simulate(10_000, 16, seconds=5)
    assert outcome.throttled == 0
    assert max(outcome.counts) < 1.2 * min(outcome.counts)
    assert counter.simulate(10_000, 4, seconds=5).counted == 5 * 4 * counter.WRITES_PER_SECOND
