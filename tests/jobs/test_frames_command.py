"""`sentirec frames` from labels in files to frames in files, and what it refuses."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from features.store import Store
from jobs.cli import app
from jobs.errors import BadInputError
from jobs.ingest_tables import ingest

EVENTS = """event_id,user_id,item_id,event_type,event_time
e1,007,a,view,2026-01-01T08:00:00Z
e2,007,a,purchase,2026-01-02T08:00:00Z
e3,8,a,view,2026-01-03T08:00:00Z
"""
LABELS = """user_id,item_id,label_time,bought
007,a,2026-01-02T08:00:00Z,1
007,a,2026-01-02T08:00:01Z,0
8,b,2026-01-04,0
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "items.csv").write_text("item_id,title\na,thing a\nb,thing b\n")
    opened = Store(tmp_path / "shop")
    files = [tmp_path / "events.csv", tmp_path / "items.csv"]
    assert not ingest(opened, files, now=datetime(2026, 2, 1, tzinfo=UTC)).errors
    return opened


def run(store: Store, labels: Path, out: Path, *more: str) -> str:
    arguments = ["frames", str(labels), str(out), "--store", store.root, *more]
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_labels_come_back_with_what_was_known_before_them(
    store: Store, tmp_path: Path, ending: str
) -> None:
    labels, out = tmp_path / "labels.csv", tmp_path / f"frame.{ending}"
    labels.write_text(LABELS)
    told = json.loads(run(store, labels, out, "--json", "-"))
    if ending == "csv":
        frame = pl.read_csv(out, schema_overrides={"user_id": pl.String})
    else:
        frame = pl.read_parquet(out)
    assert (told["rows"], told["columns"]) == (3, frame.columns)
    assert frame["user_id"].to_list() == ["007", "007", "8"]
    assert frame["bought"].to_list() == [1, 0, 0]
    assert frame["user:num_purchases"].to_list() == [0, 1, 0]
    assert frame["item:num_views"].to_list() == [1, 1, 0]


def test_rows_from_as_of_on_are_not_seen(store: Store, tmp_path: Path) -> None:
    labels, out = tmp_path / "labels.parquet", tmp_path / "frame.parquet"
    naive = pl.DataFrame({"user_id": [8], "label_time": [datetime(2026, 1, 9)]})
    naive.write_parquet(labels)
    assert "1 rows" in run(store, labels, out)
    assert pl.read_parquet(out)["user:num_views"].to_list() == [1]
    run(store, labels, out, "--as-of", "2026-01-03")
    assert pl.read_parquet(out)["user:num_views"].to_list() == [0]


@pytest.mark.parametrize(
    ("labels", "out", "message"),
    [
        ("user_id,label_time\nu,2026-01-01\n", "frame.txt", "written as .parquet or .csv"),
        ("user_id,label_time\nu,2026-01-01\n", "no/frame.csv", "there is no folder"),
        ("user_id,at\nu,2026-01-01\n", "frame.csv", "labels need label_time, and user_id or"),
        ("label_time\n2026-01-01\n", "frame.csv", "labels need label_time, and user_id or"),
        ("user_id,label_time\nu,soon\n", "frame.csv", "labels.csv: 'soon' is no ISO 8601 time"),
        ("user_id,label_time\nu,2026-01-01\nv,\n", "frame.csv", "1 rows have no label_time"),
        (
            "user_id,label_time,user:num_views\nu,2026-01-01,3\n",
            "frame.csv",
            "columns of their own named user:num_views",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_written(
    store: Store, tmp_path: Path, labels: str, out: str, message: str
) -> None:
    (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(BadInputError, match=message):
        run(store, tmp_path / "labels.csv", tmp_path / out)
    assert not (tmp_path / out).exists()
