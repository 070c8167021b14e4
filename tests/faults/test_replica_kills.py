"""Replicas killed while a shop asks and tells: nothing fails, nothing is lost, nothing doubled."""

from pathlib import Path

import pytest
from small_shop import NUM_REPLICAS, Serving, mixed_load

from benchmarks.serving.kills import survive_kills

NUM_KILLS = 5


@pytest.mark.slow
def test_a_shop_notices_nothing_of_killed_replicas(serve: Serving, shop: Path) -> None:
    load = mixed_load(serve())
    found = survive_kills(load, shop, num_replicas=NUM_REPLICAS, num_kills=NUM_KILLS)
    assert not found.failures
    assert (found.kept.lost, found.kept.doubled, found.kept.torn) == (0, 0, 0)
    assert found.kept.acknowledged > 1000
    assert found.num_answers > 100 * NUM_KILLS
