"""The tables of contacts and suppressions: how files bring them, and how they are forgotten."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from features.erasure import erase_user
from features.pseudonyms import Pseudonyms
from features.store import Store
from jobs.ingest_tables import IngestReport, ingest

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def _ingest(
    tmp_path: Path, name: str, text: str, pseudonyms: Pseudonyms | None = None
) -> tuple[Store, IngestReport]:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    store = Store(tmp_path / "shop")
    return store, ingest(store, [file], now=NOW, pseudonyms=pseudonyms)


def test_contacts_are_read_once_and_named_by_what_they_say(tmp_path: Path) -> None:
    text = "user_id,channel,contacted_at\na,email,2026-04-01T10:00:00Z\na,email,\n"

    store, first = _ingest(tmp_path, "contacts.csv", text)
    _, again = _ingest(tmp_path, "contacts.csv", text)

    assert first.tables["contacts"].added == 1
    assert first.tables["contacts"].quarantined == {"contacted_at_is_missing": 1}
    assert again.tables["contacts"].added == 0
    assert store.scan("contacts").collect()["user_id"].to_list() == ["a"]


def test_a_later_file_changes_until_when_a_suppression_holds(tmp_path: Path) -> None:
    first = "user_id,channel,reason,until\na,email,holiday,2026-06-01\nb,,complaint,\n"
    later = "user_id,channel,reason,until\na,email,holiday,2026-07-01\n"

    _ingest(tmp_path, "first.csv", first)
    store, report = _ingest(tmp_path, "later.csv", later)

    rows = store.scan("suppressions").sort("user_id").collect()
    assert report.tables["suppressions"].updated == 1
    assert rows["until"].to_list() == [datetime(2026, 7, 1, tzinfo=UTC), None]
    assert rows["channel"].to_list() == ["email", None]


def test_a_suppression_without_a_reason_says_what_it_lacks(tmp_path: Path) -> None:
    _, report = _ingest(tmp_path, "list.csv", "user_id,channel\na,email\n")

    assert "lacks reason" in report.errors[0]


def test_erased_users_are_forgotten_in_both_tables(tmp_path: Path) -> None:
    _ingest(
        tmp_path,
        "contacts.csv",
        "user_id,channel,contacted_at\na,email,2026-04-01\nb,sms,2026-04-01\n",
    )
    store, _ = _ingest(tmp_path, "suppressions.csv", "user_id,reason\na,complaint\n")

    report = erase_user(store, "a", now=NOW)

    assert report.rows == {"contacts": 1, "suppressions": 1}
    assert not report.after
    assert store.scan("contacts").collect()["user_id"].to_list() == ["b"]


def test_pseudonyms_take_the_place_of_ids(tmp_path: Path) -> None:
    pseudonyms = Pseudonyms.of_secret(bytes(32))

    store, _ = _ingest(tmp_path, "list.csv", "user_id,reason\nanna,complaint\n", pseudonyms)

    row = store.scan("suppressions").collect()
    assert row["user_id"].to_list() == [pseudonyms.of("anna")]
    assert isinstance(row.schema["suppression_id"], pl.String)
