"""`sentirec erase` and `export` on a store as people use them, and a build that is running."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from features.schema import TABLES
from features.store import Store
from features.traces import find_traces
from jobs import build_profiles
from jobs.cli import app
from jobs.errors import NotErasedError
from jobs.ingest_tables import ingest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATINGS = "user_id,item_id,rating,timestamp\n" + "".join(
    f"{user},{item},{stars},{1_600_000_000 + 86_400 * place}\n"
    for place, (user, item, stars) in enumerate(
        [("anna", "a", 5), ("bert", "a", 4), ("anna", "b", 2), ("cleo", "b", 3), ("bert", "b", 9)]
    )
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(RATINGS)
    return path


@pytest.fixture
def store(tmp_path: Path, source: Path) -> Store:
    opened = Store(tmp_path / "shop")
    assert not ingest(opened, [source], now=NOW).errors
    return opened


def _mild_signals(store: Store) -> pl.DataFrame:
    """Signals of every review, as of bare ratings."""
    schema = TABLES["review_signals"].create_empty().schema
    said = {"model_version": "m", "language": "und", "aspects": [], "needs": []}
    said |= {"mixed": False, "truncated": False, "stars_expected": 3.0}
    said |= dict.fromkeys(("p_negative", "p_neutral", "p_positive", "polarity", "intensity"), 0.0)
    ids = store.scan("reviews").select("review_id").collect()["review_id"]
    rows = [dict.fromkeys(schema) | said | {"review_id": name} for name in ids]
    return pl.DataFrame(rows, schema=schema)


def run(store: Store, *arguments: str) -> dict:
    result = CliRunner().invoke(app, [*arguments, "--store", store.root, "--json", "-"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.stdout)


def test_erased_and_read_again_the_person_is_counted_and_not_kept(
    store: Store, source: Path
) -> None:
    held = run(store, "export", "--user", "anna")
    assert [row["item_id"] for row in held["events"]] == ["a", "b"]
    assert held["events"][0]["event_time"].startswith("2020-09-13T12:26:40")
    report = run(store, "erase", "--user", "anna")
    assert report["rows"]["events"] == 2
    assert report["before"]
    assert report["after"] == []
    again = ingest(store, [source], now=NOW).to_dict()["tables"]
    assert again["events"]["erased"] == 2
    for counts in again.values():
        parts = ("added", "updated", "unchanged", "erased")
        refused = sum(counts["quarantined"].values())
        assert counts["read"] == sum(counts[part] for part in parts) + refused
    assert find_traces(store.path(), {"anna"}) == []


def test_a_build_that_is_running_does_not_bring_the_person_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = build_profiles.load_shop
    store.append("review_signals", _mild_signals(store))

    def load_and_then_erase(opened: Store, version: str) -> object:
        shop = load(opened, version)
        assert "anna" in shop.events["user_id"]
        run(store, "erase", "--user", "anna")
        return shop

    monkeypatch.setattr(build_profiles, "load_shop", load_and_then_erase)
    report = build_profiles.profiles(store, version="m", as_of=NOW)
    users = store.scan("user_profiles").select("user_id").collect()["user_id"].to_list()
    assert users == ["bert", "cleo"]
    assert report.rows["item_profiles"] == 2
    assert find_traces(store.path(), {"anna"}) == []


def test_what_is_left_is_named_and_fails(store: Store) -> None:
    (store.path() / "notes.txt").write_text("call anna back\n")
    with pytest.raises(NotErasedError, match=r"still in notes\.txt"):
        run(store, "erase", "--user", "anna")
    assert "anna" not in store.scan("events").select(pl.col("user_id")).collect()["user_id"]
