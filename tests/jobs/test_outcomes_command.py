"""`sentirec outcomes` over generated histories, as people and machines see it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from features.store import Store
from jobs.cli import app
from jobs.errors import NotDecidableError
from jobs.ingest_tables import ingest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A log of 120 users over 80 days; eager ones buy weekly, others stopped long ago."""
    rng = np.random.default_rng(0)
    lines = ["event_id,user_id,item_id,event_type,event_time,quantity,price_cents"]
    for user in range(120):
        for at in range(30 if user % 3 == 0 else 80):
            if rng.random() < 0.15:
                kind = "purchase" if rng.random() < 0.5 else "view"
                time = NOW - timedelta(days=81 - at, hours=int(rng.integers(24)))
                lines.append(
                    f"e{len(lines)},u{user},i{at % 5},{kind},{time.isoformat()},1,{500 + at}"
                )
    path, catalogue = tmp_path / "events.csv", tmp_path / "items.csv"
    path.write_text("\n".join(lines) + "\n")
    catalogue.write_text("item_id,title\n" + "".join(f"i{n},thing {n}\n" for n in range(5)))
    opened = Store(tmp_path / "shop")
    assert not ingest(opened, [path, catalogue], now=NOW).errors
    return opened


def run(store: Store, *arguments: str) -> dict:
    result = CliRunner().invoke(app, ["outcomes", *arguments, "--store", store.root, "--json", "-"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.stdout)


def test_every_user_is_told_and_the_same_is_tested_on_the_past(store: Store) -> None:
    report = run(store, "--horizon-days", "14")
    told = store.scan("user_outcomes").collect()
    assert report["rows"] == len(told) == store.scan("events").collect()["user_id"].n_unique()
    assert set(told["horizon_days"]) == {14}
    assert told["purchase_probability"].is_between(0, 1).all()
    stopped = told["user_id"].str.slice(1).cast(int) % 3 == 0
    for name, least in (("purchase_probability", 0.4), ("probability_alive", 0.1)):
        gone, there = (told.filter(rows)[name].drop_nulls() for rows in (stopped, ~stopped))
        assert there.to_numpy().mean() > gone.to_numpy().mean() + least, name
    churn = [told.filter(rows)["churn_probability"].drop_nulls() for rows in (stopped, ~stopped)]
    assert churn[0].to_numpy().mean() > 0.7 > churn[1].to_numpy().mean()
    customers = told.filter(told["expected_purchases"].is_not_null())
    assert (customers["expected_purchases"] >= 0).all()
    assert customers["expected_cents"].null_count() == 0
    assert told.filter(told["expected_purchases"].is_null())["churn_probability"].null_count() == (
        told["expected_purchases"].null_count()
    )
    tested = report["back_tests"]["purchase"]
    assert tested["figures"]["all features"]["auc"] > 0.7
    assert report["notes"] == []


def test_too_little_past_is_said_and_nothing_is_written(store: Store) -> None:
    with pytest.raises(NotDecidableError, match="events must reach further back than that"):
        run(store, "--horizon-days", "200", "--as-of", (NOW - timedelta(days=79)).isoformat())
    assert not store.exists("user_outcomes")
