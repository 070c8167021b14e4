"""`sentirec outcomes` over generated histories, as people and machines see it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from features.schema import TABLES
from features.store import Store
from jobs.cli import app
from jobs.config import Config
from jobs.errors import NotDecidableError
from jobs.ingest_tables import ingest
from jobs.settings import score_config
from sentiment.scorer import model_version

VERSION = model_version(score_config(Config()).scorer)
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
    [note] = report["notes"]
    assert note.startswith("satisfaction_probability: no purchase was judged before")
    assert report["satisfaction_rows"] == len(store.scan("category_satisfaction").collect()) == 0


def test_too_little_past_is_said_and_nothing_is_written(store: Store) -> None:
    with pytest.raises(NotDecidableError, match="events must reach further back than that"):
        run(store, "--horizon-days", "200", "--as-of", (NOW - timedelta(days=79)).isoformat())
    assert not store.exists("user_outcomes")


def test_satisfaction_is_told_for_what_users_turn_to(store: Store, tmp_path: Path) -> None:
    path, catalogue = tmp_path / "ratings.csv", tmp_path / "kinds.csv"
    bought = store.scan("events").filter(event_type="purchase").collect()
    lines = ["user_id,item_id,rating,event_time"]
    for user, item, time in bought.select("user_id", "item_id", "event_time").iter_rows():
        stars = 5 if int(user[1:]) % 4 else 2
        lines.append(f"{user},{item},{stars},{(time + timedelta(hours=1)).isoformat()}")
    path.write_text("\n".join(lines) + "\n")
    catalogue.write_text("item_id,categories\n" + "".join(f"i{n},kind {n % 2}\n" for n in range(5)))
    assert not ingest(store, [path, catalogue], now=NOW).errors
    signals = [
        {"review_id": name, "model_version": VERSION, "language": "und", "p_negative": 0.0,
         "p_neutral": 1.0, "p_positive": 0.0, "polarity": 0.0, "intensity": 0.0,
         "stars_expected": 3.0, "mixed": False, "aspects": [], "needs": [], "truncated": False}
        for name in store.scan("reviews").collect()["review_id"]
    ]  # fmt: skip
    schema = TABLES["review_signals"].create_empty().schema
    rows = [{name: row.get(name) for name in schema} for row in signals]
    store.append("review_signals", pl.DataFrame(rows, schema=schema))
    report = run(store, "--horizon-days", "14")
    told = store.scan("category_satisfaction").collect()
    assert report["notes"] == []
    assert report["satisfaction_rows"] == len(told)
    assert set(told["category"]) <= {"kind 0", "kind 1"}
    assert told["satisfaction_probability"].is_between(0, 1).all()
    displeased = told["user_id"].str.slice(1).cast(int) % 4 == 0
    means = [
        told.filter(rows)["satisfaction_probability"].to_numpy().mean()
        for rows in (displeased, ~displeased)
    ]
    assert means[1] > means[0] + 0.3
    assert report["back_tests"]["satisfaction"]["figures"]["all features"]["auc"] > 0.8
