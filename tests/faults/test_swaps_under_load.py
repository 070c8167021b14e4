"""Bundles switched while a shop asks and tells: nothing fails, and what is broken is never used."""

from pathlib import Path

import httpx
import pytest
from small_shop import Serving, mixed_load

from benchmarks.serving.swaps import BROKEN, FIRST, SECOND, survive_swaps


@pytest.mark.slow
def test_a_shop_notices_nothing_of_swaps(serve: Serving, shop: Path) -> None:
    server = serve("poll_interval_s = 0.3")
    found = survive_swaps(mixed_load(server), server.url, shop)
    assert not found.failures
    assert set(found.lists) == {FIRST, SECOND}
    assert (found.kept.lost, found.kept.doubled, found.kept.torn) == (0, 0, 0)
    (reload_error,) = found.reload_errors
    assert reload_error.startswith(f"bundle {BROKEN}: ranker.txt has SHA-256")

    for version, status in ((BROKEN, 409), ("nowhere", 404), (FIRST, 200)):
        promoted = {"version": version}
        answered = httpx.post(f"{server.url}/v1/model/promote", json=promoted, trust_env=False)
        assert answered.status_code == status
        model = httpx.get(f"{server.url}/v1/model", trust_env=False).json()
        assert (model["version"], model["reload_error"]) == (FIRST, None)
