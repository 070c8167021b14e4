"""An alert puts its item further down as long as it stands, and no longer."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from live_shop import live_shop
from published_shop import Published

from features.alert_tables import ACKNOWLEDGED, OPEN, RESOLVED, Alerts, empty
from jobs.alerts_tables import change_alerts, write_demotions
from recsys.interactions import IdMap
from serving.snapshot import _demoted

DAY = 20_000
MOMENT = datetime(2024, 10, 4, tzinfo=UTC)


def alert_of(item_id: str, kind: str = "bad_batch") -> pl.DataFrame:
    """Return a table of one open alert."""
    row = {
        **dict.fromkeys(Alerts.column_names()),
        "alert_id": f"a-{item_id}",
        "scope": "item",
        "key": item_id,
        "aspects": [],
        "kind": kind,
        "state": OPEN,
        **dict.fromkeys(("onset", "onset_low", "onset_high"), MOMENT),
        **dict.fromkeys(("block", "opened_day", "looked_day", "changed_day"), DAY),
        **dict.fromkeys(("num_reviews", "num_negative", "num_buyers"), 9),
        **dict.fromkeys(("recovered_looks", "num_reopened", "num_changes"), 0),
        **dict.fromkeys(("q_value", "share_before", "share_opened", "share_since"), 0.01),
        **dict.fromkeys(("log_e_value", "p_bombing", "burst_p", "gradual"), 0.5),
        "action": "inspect_batch",
        "changed_by": "detect",
    }
    return Alerts.validate(pl.DataFrame([row], schema=empty("alerts").schema))


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
        store.append("alerts", alert_of(first))
        write_demotions(store, demotion=0.9)
        during = shown()
        assert during[first] == pytest.approx(0.1 * before[first], rel=1e-5)
        assert next(iter(during)) != first
        assert {name: score for name, score in during.items() if name != first} == pytest.approx(
            {name: score for name, score in before.items() if name != first}
        )
        for state, expected in ((ACKNOWLEDGED, during), (RESOLVED, before)):
            change_alerts(store, [f"a-{first}"], state, day=DAY, by="ann", note=None, demotion=0.9)
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
