import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.store import Store
from jobs.ingest_tables import IngestReport, TableCounts, ingest

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DATA = Path(__file__).parents[3] / "shared" / "data"
TABLES = ("items", "users", "events", "reviews", "splits")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "shop")


def run(store: Store, *files: Path, format: str | None = None) -> IngestReport:
    report = ingest(store, files, format=format, now=NOW)
    for counts in report.tables.values():
        assert_adds_up(counts)
    return report


def assert_adds_up(counts: TableCounts) -> None:
    refused = sum(counts.quarantined.values())
    assert counts.read == counts.added + counts.updated + counts.unchanged + refused


def content(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Everything the store holds, in an order of its own."""
    names = [name for table in TABLES for name in (table, f"quarantine/{table}")]
    return {
        name: sorted(store.scan(name).collect().to_dicts(), key=repr)
        for name in names
        if store.exists(name)
    }


def review(**change: Any) -> dict[str, Any]:
    row = {"user_id": "u", "item_id": "i", "rating": 5.0, "timestamp": 1300000000, "text": "good"}
    return row | change


def json_file(path: Path, rows: Iterable[dict[str, Any] | str]) -> Path:
    with path.open("w") as file:
        for row in rows:
            file.write((row if isinstance(row, str) else json.dumps(row)) + "\n")
    return path


MIXED = [
    review(),
    review(text="again"),
    review(),
    review(rating="five", item_id="unseen"),
    "{broken",
    review(user_id="a\x00b"),
    review(user_id="v", timestamp=None),
    review(user_id="w", helpful_vote=2),
    review(user_id="w", helpful_vote=3),
]


def test_good_rows_go_on_and_bad_ones_are_kept_apart(store: Store, tmp_path: Path) -> None:
    report = run(store, json_file(tmp_path / "mixed.jsonl", MIXED))
    assert report.errors == []
    assert report.tables["reviews"] == TableCounts(
        read=9,
        added=3,
        unchanged=1,
        quarantined={
            "malformed_json": 1,
            "rating_is_not_a_number": 1,
            "user_id_has_control_characters": 1,
            "event_time_is_missing": 1,
            "conflicting_duplicate": 1,
        },
    )
    assert report.tables["events"] == TableCounts(read=4, added=3, unchanged=1)
    assert report.tables["items"] == TableCounts(read=1, added=1)
    kept = store.scan("quarantine/reviews").sort("source_line").collect()
    assert kept["source_line"].to_list() == [4, 5, 6, 7, 9]
    assert kept["source_file"].unique().to_list() == ["mixed.jsonl"]
    assert json.loads(kept["row"][0])["rating"] == "five"
    assert json.loads(kept["row"][1]) == {"line": "{broken"}


def test_reading_a_file_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = json_file(tmp_path / "mixed.jsonl", MIXED)
    run(store, path)
    before = content(store)
    versions = {name: store.version(name) for name in before}
    again = run(store, path)
    packed = tmp_path / "mixed.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    run(store, packed)
    assert content(store) == before
    assert {name: store.version(name) for name in before} == versions
    assert again.tables["reviews"].added == 0
    assert again.tables["reviews"].unchanged == 4


def test_order_of_rows_does_not_matter_for_what_is_stored(store: Store, tmp_path: Path) -> None:
    rows = [review(user_id=f"u{number}") for number in range(5)]
    run(store, json_file(tmp_path / "a.jsonl", rows))
    before = content(store)
    report = run(store, json_file(tmp_path / "b.jsonl", rows[::-1]))
    assert content(store) == before
    assert report.tables["reviews"].unchanged == 5


def test_a_cut_file_keeps_its_whole_rows_and_the_rest_follows(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl.gz"
    rows = [json.dumps(review(text=f"{number} good " * 20)) + "\n" for number in range(20_000)]
    whole = gzip.compress("".join(rows).encode())
    path.write_bytes(whole[: len(whole) // 2])
    report = run(store, path)
    assert "ends early" in report.errors[0]
    added = report.tables["reviews"].added
    assert 0 < added < 20_000
    assert not store.exists("quarantine/reviews")
    path.write_bytes(whole)
    report = run(store, path)
    assert report.errors == []
    assert report.tables["reviews"] == TableCounts(
        read=20_000, added=20_000 - added, unchanged=added
    )


def test_bad_files_do_not_stop_the_others(store: Store, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("a,b\n1,2\n")
    good = json_file(tmp_path / "good", [review()])
    report = run(store, empty, unknown, tmp_path / "absent", good)
    assert [file.error is None for file in report.files] == [False, False, False, True]
    assert report.tables["reviews"].added == 1


def test_a_file_that_cannot_be_read_writes_nothing(store: Store, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("a,b\n1,2\n")
    run(store, unknown)
    assert not Path(store.root).exists()


def test_items_are_updated_by_the_columns_a_file_brings(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title,brand\ni,T,B\nj,U,B\n")
    run(store, path)
    path.write_text("item_id,title\ni,T2\nj,U\nk,V\n")
    report = run(store, path)
    assert report.tables["items"] == TableCounts(read=3, added=1, updated=1, unchanged=1)
    items = store.scan("items").sort("item_id").collect()
    assert items["title"].to_list() == ["T2", "U", "V"]
    assert items["brand"].to_list() == ["B", "B", None]


def test_by_products_fill_gaps_and_overwrite_nothing(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title,categories\n1,T,\n2,,c|d\n")
    run(store, path)
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    log = tmp_path / "uci.csv"
    log.write_text(header + "".join(f"9,{n},NAME,1,2010-12-01,1,7,France\n" for n in (1, 2, 3)))
    report = run(store, log)
    assert report.tables["items"] == TableCounts(read=3, added=1, updated=1, unchanged=1)
    items = store.scan("items").sort("item_id").collect()
    assert items["title"].to_list() == ["T", "NAME", "NAME"]
    assert items["categories"].to_list() == [[], ["c", "d"], []]
    assert store.scan("users").collect()["country"].to_list() == ["France"]


def test_withdrawn_consent_is_withdrawn(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("user_id,email,consents\nu,a@example.org,email|sms\n")
    run(store, path)
    path.write_text("user_id,consents\nu,\n")
    run(store, path)
    [user] = store.scan("users").collect().to_dicts()
    assert (user["email"], user["consents"]) == ("a@example.org", [])


def test_one_file_that_contradicts_itself_about_an_item(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\ni,A\ni,B\ni,A\n")
    report = run(store, path)
    quarantined = {"conflicting_duplicate": 1}
    assert report.tables["items"] == TableCounts(
        read=3, added=1, unchanged=1, quarantined=quarantined
    )
    before = content(store)
    report = run(store, path)
    assert report.tables["items"] == TableCounts(read=3, unchanged=2, quarantined=quarantined)
    assert content(store) == before


def test_an_event_that_contradicts_a_stored_one_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("event_id,user_id,item_id,event_type,event_time\ne,u,i,view,2020-01-01\n")
    run(store, path)
    path.write_text("event_id,user_id,item_id,event_type,event_time\ne,u,j,view,2020-01-01\n")
    report = run(store, path)
    assert report.tables["events"].quarantined == {"conflicting_duplicate": 1}
    assert store.scan("events").collect()["item_id"].to_list() == ["i"]


def test_progress_adds_up_to_the_size_on_disk(store: Store, tmp_path: Path) -> None:
    path = json_file(tmp_path / "a.jsonl", [review(text=f"{n}" * 100) for n in range(20_000)])
    seen: list[int] = []
    ingest(store, [path], now=NOW, progress=lambda _path, count: seen.append(count))
    assert sum(seen) == path.stat().st_size
    assert len(seen) > 1


def test_the_report_is_json(store: Store, tmp_path: Path) -> None:
    report = run(store, json_file(tmp_path / "a.jsonl", [review()]), tmp_path / "absent")
    assert json.loads(json.dumps(report.to_dict()))["tables"]["reviews"]["added"] == 1


def test_pipes_can_be_read(store: Store, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=json_file, args=(pipe, [review()]))
    writer.start()
    report = run(store, pipe)
    writer.join()
    assert report.tables["reviews"].added == 1


line = st.binary(max_size=60) | st.builds(
    lambda user, rating, text: json.dumps(review(user_id=user, rating=rating, text=text)).encode(),
    st.none() | st.text(max_size=3),
    st.none() | st.floats(width=32) | st.text(max_size=3),
    st.none() | st.text(max_size=5),
)


@given(st.lists(line, max_size=8))
@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_lines_are_accounted_for_and_re_reading_is_still(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    store = Store(folder / "shop")
    path = folder / "any.jsonl"
    path.write_bytes(json.dumps(review()).encode() + b"\n" + b"\n".join(lines))
    assert run(store, path).errors == []
    before = content(store)
    again = run(store, path)
    assert content(store) == before
    assert sum(counts.added + counts.updated for counts in again.tables.values()) == 0


_PEAK = """
import re, sys
from datetime import UTC, datetime
from pathlib import Path
from features.store import Store
from jobs.ingest_tables import ingest
report = ingest(Store(sys.argv[1]), [Path(sys.argv[2])], now=datetime(2026, 1, 2, tzinfo=UTC))
status = Path("/proc/self/status").read_text()
print(report.tables["reviews"].added, int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024)
"""


# VmHWM and not ru_maxrss: the latter of a new process starts at the size of its parent.
def _peak_mib(folder: Path, num_rows: int) -> int:
    pipe = folder / f"pipe{num_rows}"
    os.mkfifo(pipe)
    words = "the tuner broke quickly and the sound was fine " * 85
    rows = (review(user_id=f"u{n}", text=f"{n} {words}") for n in range(num_rows))
    writer = threading.Thread(target=json_file, args=(pipe, rows))
    writer.start()
    command = [sys.executable, "-c", _PEAK, str(folder / f"shop{num_rows}"), str(pipe)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    writer.join()
    added, peak = map(int, done.stdout.split())
    assert added == num_rows
    return peak


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stream(tmp_path: Path) -> None:
    small, large = _peak_mib(tmp_path, 25_000), _peak_mib(tmp_path, 75_000)
    assert large < 700
    assert large - small < 100, f"100 MB took {small} MiB and 300 MB took {large} MiB"


needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(
    ("name", "table", "read", "added", "quarantined"),
    [
        ("reviews/amazon_musical_instruments_2014_5core.jsonl.gz", "reviews", 10261, 10261, {}),
        ("reviews/amazon_magazine_2018_5core.jsonl.gz", "reviews", 2331, 2331, {}),
        ("reviews/amazon_all_beauty_2018_5core.jsonl.gz", "events", 4216, 4216, {}),
        ("interactions/amazon_electronics_2023.csv.gz", "splits", 131154, 130500, {}),
        ("interactions/amazon_electronics_2023_items.csv.gz", "items", 9671, 9671, {}),
        ("interactions/amazon_beauty_5core_sequences.csv.gz", "events", 198502, 198502, {}),
        ("interactions/amazon_beauty_item_attributes.csv.gz", "items", 12101, 12101, {}),
        (
            "events/taobao_user_behavior.csv.gz",
            "events",
            84476,
            84475,
            {"event_time_is_missing": 1},
        ),
        ("events/retailrocket_events_sample.csv.gz", "events", 9385, 9382, {}),
        (
            "reviews/product_reviews_30k.csv.gz",
            "reviews",
            30000,
            29874,
            {
                "conflicting_duplicate": 15,
                "event_time_is_missing": 40,
                "event_time_is_not_a_time": 8,
                "user_id_is_missing": 63,
            },
        ),
    ],
)
def test_published_files(
    store: Store, name: str, table: str, read: int, added: int, quarantined: dict[str, int]
) -> None:
    report = run(store, DATA / name)
    assert report.errors == []
    counts = report.tables[table]
    assert (counts.read, counts.added, counts.quarantined) == (read, added, quarantined)
    again = run(store, DATA / name)
    assert sum(counts.added + counts.updated for counts in again.tables.values()) == 0


@pytest.mark.data
@pytest.mark.slow
@needs_data
def test_published_invoices(store: Store) -> None:
    report = run(store, DATA / "events/uci_online_retail.csv.gz")
    events = store.scan("events")
    assert report.tables["events"].read == 541_909
    assert report.tables["events"].quarantined == {"no_customer": 135_080}
    assert report.tables["users"].added == 4_372
    returns = events.filter(pl.col("event_type") == "return").select(pl.len()).collect().item()
    assert returns == 8_872


@pytest.mark.data
@needs_data
def test_a_published_file_without_users_says_so(store: Store) -> None:
    report = run(store, DATA / "reviews/womens_clothing.csv.gz")
    assert "lacks user_id" in report.errors[0]
    assert not Path(store.root).exists()
