"""An erased person is nowhere: tables, older versions, logs, quarantine; and never comes back."""

import gzip
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from rows import events, reviews, signals

from features.erasure import erase_user, export_user
from features.errors import StoreError
from features.quarantine import QUARANTINE_SCHEMA
from features.schema import TABLES
from features.store import Store
from features.tombstones import Tombstones
from features.traces import find_traces

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAID = [
    {"review_id": f"of-{user}-{n}", "user_id": user, "item_id": "a", "text": "t", "day": n}
    for user in ("anna", "o'neil", "张伟", "ann")
    for n in range(2)
]
DONE = [
    {"user_id": user, "item_id": "a", "event_id": f"{user}-{n}", "day": n}
    for user in ("anna", "o'neil", "张伟", "ann")
    for n in range(3)
]


def refused(*rows: str) -> pl.DataFrame:
    columns = {name: [None] * len(rows) for name in QUARANTINE_SCHEMA.names()}
    columns |= {"quarantine_id": [f"q{n}" for n in range(len(rows))], "row": list(rows)}
    return pl.DataFrame(columns, schema=QUARANTINE_SCHEMA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Several versions of each table: the newest alone would not do."""
    opened = Store(tmp_path / "shop")
    for n in range(2):
        opened.append("events", events(*DONE[n::2]))
        opened.append("reviews", reviews(*SAID[n::2]))
    polarity = {row["review_id"]: 0.5 for row in SAID}
    opened.append("review_signals", signals(polarity))
    people = pl.DataFrame({"user_id": ["anna", "o'neil", "张伟", "ann"]})
    opened.overwrite("user_profiles", people)
    opened.overwrite("user_profiles", people.with_columns(x=1))
    opened.append(
        "quarantine/events",
        refused('{"user_id": "anna", "price": "x"}', '{"user_id": "ann"}', "anna,broken,line", "{"),
    )
    return opened


@pytest.mark.parametrize("user", ["anna", "o'neil", "张伟"])
def test_before_there_are_traces_and_after_there_are_none(store: Store, user: str) -> None:
    own = {user, f"of-{user}-0", f"of-{user}-1"}
    assert len(find_traces(store.path(), own)) >= 6
    report = erase_user(store, user, now=NOW)
    assert sum(trace.places for trace in report.before) > 10
    assert report.after == []
    assert find_traces(store.path(), own) == []
    wanted = {"events": 3, "reviews": 2, "review_signals": 2, "user_profiles": 1}
    if user == "anna":
        wanted["quarantine/events"] = 2
    assert report.rows == wanted


def test_others_keep_every_row_and_tables_go_on(store: Store) -> None:
    before = {name: store.scan(name).collect() for name in store.names()}
    erase_user(store, "anna", now=NOW)
    for name, frame in before.items():
        if "user_id" in frame.columns:
            kept = store.scan(name).collect().sort(pl.all().exclude(pl.List))
            assert kept.equals(
                frame.filter(pl.col("user_id") != "anna").sort(pl.all().exclude(pl.List))
            )
    assert len(store.scan("review_signals").collect()) == 6
    assert store.scan("quarantine/events").collect()["row"].to_list() == ['{"user_id": "ann"}', "{"]
    store.append("events", events({"user_id": "new", "item_id": "a", "event_id": "n", "day": 9}))
    store.compact("events")
    assert len(store.scan("events").collect()) == 10


def test_whatever_is_written_later_the_person_stays_away(store: Store) -> None:
    tables = {name: store.scan(name).collect() for name in store.names()}
    erase_user(store, "anna", now=NOW)
    for name, frame in tables.items():
        if name == "user_profiles":
            store.overwrite(name, frame)
        elif name == "users":
            store.upsert(name, frame, ["user_id"])
        else:
            store.append(name, frame)
    assert find_traces(store.path(), {"anna", "of-anna-0", "of-anna-1"}) == []
    assert len(store.scan("user_profiles").collect()) == 3


def test_an_upsert_brings_nobody_back(store: Store) -> None:
    people = pl.DataFrame(
        [{"user_id": name, "consents": []} for name in ("anna", "ann")],
        schema=TABLES["users"].create_empty().schema,
    )
    store.append("users", people)
    erase_user(store, "anna", now=NOW)
    store.upsert("users", people.with_columns(country=pl.lit("DE")), ["user_id"])
    assert store.scan("users").collect().select("user_id", "country").rows() == [("ann", "DE")]


def test_what_was_interrupted_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def dies(table: str) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(table)
        Store.forget_history(store, table)

    monkeypatch.setattr(store, "forget_history", dies)
    with pytest.raises(KeyboardInterrupt):
        erase_user(store, "anna", now=NOW)
    monkeypatch.undo()
    assert erase_user(store, "anna", now=NOW).after == []
    assert find_traces(store.path(), {"anna", "of-anna-0", "of-anna-1"}) == []
    assert len(store.scan("erased").collect()) == 3


def test_nobody_is_erased_by_a_slip_of_the_pen(store: Store) -> None:
    with pytest.raises(StoreError, match="nothing is held of the user 'nobody'"):
        erase_user(store, "nobody", now=NOW)
    assert not store.exists("erased")


def test_tombstones_do_not_say_who(store: Store) -> None:
    erase_user(store, "anna", now=NOW)
    erased = store.scan("erased").collect()
    assert erased["erased_at"].to_list() == [NOW] * 3
    assert not any("ann" in str(value) for value in erased.rows())
    frame = pl.DataFrame({"user_id": ["anna", "ann", None]})
    assert Tombstones.of(erased).marked(frame).to_list() == [True, False, False]


def test_a_person_gets_all_that_is_held_on_them_and_of_nobody_else(store: Store) -> None:
    held = export_user(store, "anna")
    assert {name: len(rows) for name, rows in held.items()} == {
        "events": 3, "reviews": 2, "review_signals": 2, "user_profiles": 1, "quarantine/events": 2,
    }  # fmt: skip
    assert {row["user_id"] for row in held["events"]} == {"anna"}
    erase_user(store, "anna", now=NOW)
    with pytest.raises(StoreError, match="nothing is held"):
        export_user(store, "anna")


def test_a_search_decodes_what_it_searches(tmp_path: Path) -> None:
    frame = pl.DataFrame({"nested": [[{"who": f"u-{n}"}] for n in range(2000)]})
    frame.write_parquet(tmp_path / "a.parquet", compression="zstd", statistics=False)
    assert b"u-77" not in (tmp_path / "a.parquet").read_bytes()
    frame.write_ipc(tmp_path / "a.arrow", compression="zstd")
    (tmp_path / "log.jsonl").write_text(json.dumps({"text": 'said "u-77"'}) + "\n")
    (tmp_path / "other.txt").write_text("u-770 xu-77 u-7")
    (tmp_path / "old.csv.gz").write_bytes(gzip.compress(b"id\nu-77\n"))
    database = sqlite3.connect(tmp_path / "log.db")
    database.execute("pragma secure_delete = off")
    database.execute("create table events (user text, what text)")
    database.execute("insert into events values ('u-77', 'view')")
    database.commit()
    database.execute("delete from events")
    database.commit()
    database.close()
    found = {trace.file for trace in find_traces(tmp_path, {"u-77"})}
    assert found == {"a.parquet", "a.arrow", "log.jsonl", "old.csv.gz", "log.db"}
