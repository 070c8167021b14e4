"""An alert puts its item further down as long as it stands, and no longer."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from alert_rows import DAY, alert_of
from live_shop import live_shop
from published_shop import Published

from features.alert_tables import ACKNOWLEDGED, RESOLVED
from jobs.alerts_tables import change_alerts, write_demotions
from recsys.interactions import IdMap
from serving.snapshot import _demoted


def scores(published: Published, folder: Path) -> dict[str, float]:
    with live_shop(published.store, folder) as shop:
        return {item.item_id: item.score for item in shop.ask(user_id="somebody", k=100).items}


def test_a_running_replica_demotes_and_restores(published: Published, tmp_path: Path) -> None:
    store = published.store
    with live_shop(store, tmp_path / "live") as shop:

        def shown() -> dict[str, float]:
            shop.state.refresh()
            return {item.item_id: item.score for item in shop.ask(user_id="somebody", k=100).items}

        before = shown()
        first = next(iter(before))
        alert = alert_of(first)
        name = alert["alert_id"][0]
        store.append("alerts", alert)
        write_demotions(store, demotion=0.9)
        during = shown()
        assert during[first] == pytest.approx(0.1 * before[first], rel=1e-5)
        assert next(iter(during)) != first
        assert {item: score for item, score in during.items() if item != first} == pytest.approx(
            {item: score for item, score in before.items() if item != first}
        )
        for state, expected in ((ACKNOWLEDGED, during), (RESOLVED, before)):
            change_alerts(store, [name], state, day=DAY, by="ann", note=None, demotion=0.9)
            assert shown() == expected


def test_a_bombing_demotes_nothing(published: Published, tmp_path: Path) -> None:
    before = scores(published, tmp_path / "before")
    published.store.append("alerts", alert_of(next(iter(before)), "review_bombing"))
    write_demotions(published.store, demotion=0.9)
    assert scores(published, tmp_path / "after") == before


def test_what_the_bundle_lacks_is_left_out() -> None:
    demotions = pl.DataFrame({"item_id": ["gone", "b"], "amount": [0.9, 0.5]})
    found = _demoted(demotions, IdMap.of(["a", "b"]))
    assert found is not None
    np.testing.assert_array_equal(found, [0.0, 0.5])
    assert _demoted(demotions[:1], IdMap.of(["a", "b"])) is None
