"""`sentirec repurchases`: what comes round is told, from the past alone, and tested on it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from features.store import Store
from jobs.cli import app, exit_code_of
from jobs.errors import NotDecidableError
from jobs.ingest_tables import ingest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GAPS = {"coffee": 20, "filters": 60}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """40 customers over 200 days: coffee every 20 days, filters every 60, a guitar once."""
    rng = np.random.default_rng(0)
    lines = ["event_id,user_id,item_id,event_type,event_time,quantity,price_cents"]

    def buy(user: int, item: str, day: float) -> None:
        time = NOW - timedelta(days=200 - day)
        lines.append(f"e{len(lines)},u{user:02},{item},purchase,{time.isoformat()},1,500")

    for user in range(40):
        for item, gap in GAPS.items():
            day = float(rng.uniform(0, gap))
            while day < 200:
                buy(user, item, day)
                day += gap * float(np.exp(rng.normal(0, 0.1)))
        buy(user, "guitar", float(rng.uniform(0, 200)))
    path, catalogue = tmp_path / "events.csv", tmp_path / "items.csv"
    path.write_text("\n".join(lines) + "\n")
    catalogue.write_text("item_id,title\ncoffee,Coffee\nfilters,Filters\nguitar,A guitar\n")
    opened = Store(tmp_path / "shop")
    assert not ingest(opened, [path, catalogue], now=NOW).errors
    return opened


def run(store: Store, *options: str) -> dict:
    command = ["repurchases", "--store", str(store.root), "--json", "-", *options]
    result = CliRunner().invoke(app, command)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_comes_round_is_told(store: Store) -> None:
    report = run(store, "--as-of", NOW.isoformat())
    told = store.scan("repurchases").collect()
    assert report["rows"] == len(told)
    assert set(told["item_id"]) == set(GAPS), "nobody buys a second guitar"
    assert told["chance"].is_between(0, 1, closed="right").all()
    assert told["horizon_days"].unique().to_list() == [30.0]
    coffee = told.filter(item_id="coffee")
    assert coffee["chance"].median() > 0.8  # type: ignore[operator]
    events = store.scan("events").filter(item_id="coffee").collect()
    last = events.group_by("user_id").agg(pl.col("event_time").max(), pl.len())
    long_ago = last.filter(pl.col("event_time") < NOW - timedelta(days=16))["user_id"]
    assert len(long_ago) > 3
    assert set(long_ago) <= set(coffee["user_id"])
    just_now = last.filter(pl.col("event_time") > NOW - timedelta(days=8))["user_id"]
    assert not set(just_now) & set(coffee["user_id"]), "nobody needs it yet"
    joined = coffee.join(last, on="user_id")
    assert (joined["last_bought_at"] == joined["event_time"]).all()
    assert (joined["num_days"] == joined["len"]).all()
    first = told.group_by("user_id", maintain_order=True).first()
    best = told.group_by("user_id").agg(pl.col("chance").max())
    assert first.join(best, on=["user_id", "chance"])["user_id"].n_unique() == len(first)
    assert report["back_test"]["repurchase_due"]["ndcg@10"] > 0.8
    assert report["most"][0]["item_id"] == "coffee"
    assert report["most"][0]["expected"] == pytest.approx(coffee["chance"].sum())


def test_only_the_past_is_read(store: Store) -> None:
    moment = NOW - timedelta(days=45)
    run(store, "--as-of", moment.isoformat())
    whole = store.scan("repurchases").collect()
    events = store.scan("events").collect()
    store.overwrite("events", events.filter(pl.col("event_time") < moment))
    run(store, "--as-of", moment.isoformat())
    assert store.scan("repurchases").collect().equals(whole)


def test_a_longer_horizon_makes_it_likelier(store: Store) -> None:
    soon = run(store, "--as-of", NOW.isoformat(), "--horizon-days", "5")
    near = store.scan("repurchases").collect()
    late = run(store, "--as-of", NOW.isoformat(), "--horizon-days", "90")
    far = store.scan("repurchases").collect()
    both = near.join(far, on=["user_id", "item_id"], suffix="_far")
    assert len(both) == len(near) > 0
    assert (both["chance_far"] > both["chance"]).all()
    assert late["horizon_days"] > soon["horizon_days"]


def test_where_nothing_was_bought_nothing_is_told(store: Store) -> None:
    with pytest.raises(NotDecidableError, match="nobody bought an item") as refused:
        run(store, "--as-of", "2020-01-01")
    assert exit_code_of(refused.value) == 4
    assert not store.exists("repurchases")
    events = store.scan("events").collect().unique(["user_id", "item_id"], keep="first")
    store.overwrite("events", events)
    report = run(store, "--as-of", NOW.isoformat())
    assert (report["rows"], report["back_test"], report["most"]) == (0, None, [])
