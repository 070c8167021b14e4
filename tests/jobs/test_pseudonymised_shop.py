"""A shop that keeps pseudonyms: nothing in its folder tells who anybody was."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from features.errors import PseudonymKeyError, StoreError
from features.personal import read_personal
from features.pseudonyms import KEY_VARIABLE, Pseudonyms
from features.store import Store
from features.traces import find_traces
from jobs.cli import app
from jobs.ingest_tables import ingest

NOW = datetime(2026, 2, 1, tzinfo=UTC)
SECRET = bytes(range(32))
OURS = Pseudonyms.of_secret(SECRET)
FILES = {
    "users.csv": """user_id,country,email,phone
anna7,DE,anna@example.org,+49 30 1
bert8,CN,bert@example.org,
,CN,nobody@example.org,
""",
    "events.csv": """event_id,user_id,session_id,item_id,event_type,event_time
anna7-1,anna7,anna7-s,a,view,2026-01-01T08:00:00Z
anna7-2,anna7,anna7-s,a,purchase,2026-01-02T08:00:00Z
bert8-1,bert8,,a,view,2026-01-03T08:00:00Z
bert8-2,bert8,,a,view,someday
""",
    "reviews.csv": """user_id,item_id,rating,text,event_time
anna7,a,5,Lovely,2026-01-05T08:00:00Z
bert8,a,9,Awful,2026-01-06T08:00:00Z
""",
    "items.csv": "item_id,title\na,thing a\n",
}
PERSONAL = ("anna7", "bert8", "anna@example.org", "bert@example.org", "nobody@example.org")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(KEY_VARIABLE, SECRET.hex())
    (tmp_path / "sentirec.toml").write_text("[privacy]\npseudonymise = true\n")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "shop")
    run(opened, "ingest", *(str(tmp_path / name) for name in FILES))
    return opened


def run(store: Store, command: str, *arguments: str) -> dict:
    config = Path(store.root).parent / "sentirec.toml"
    options = ["--store", store.root, "--config", str(config), "--json", "-"]
    result = CliRunner().invoke(app, [command, *arguments, *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.stdout)


def test_no_file_of_the_store_names_anybody(store: Store) -> None:
    assert find_traces(store.path(), PERSONAL) == []
    content = b"".join(path.read_bytes() for path in store.path().rglob("*") if path.is_file())
    assert not any(name.encode() in content for name in PERSONAL)
    events = store.scan("events").collect()
    assert set(events["user_id"]) == {OURS.of("anna7"), OURS.of("bert8")}
    assert store.scan("users").collect()["country"].sort().to_list() == ["CN", "DE"]
    refused = {
        table: store.scan(f"quarantine/{table}").collect()
        for table in ("users", "events", "reviews")
    }
    assert {table: rows["rule"].to_list() for table, rows in refused.items()} == {
        "users": ["user_id_is_missing"],
        "events": ["event_time_is_not_a_time"],
        "reviews": ["rating_is_too_large"],
    }
    assert all(rows["row"].null_count() == len(rows) for rows in refused.values())


def test_reading_again_changes_nothing_and_a_new_address_is_a_change(
    store: Store, tmp_path: Path
) -> None:
    tables = ("users", "events", "reviews", "quarantine/events")
    before = {table: store.scan(table).collect() for table in tables}
    files = [str(tmp_path / name) for name in FILES]
    again = run(store, "ingest", *files)["tables"]
    assert all(counts["added"] == counts["updated"] == 0 for counts in again.values())
    assert all(store.scan(table).collect().equals(frame) for table, frame in before.items())
    (tmp_path / "users.csv").write_text(
        "user_id,country,email\nanna7,DE,new@example.org\nbert8,CN,bert@example.org\n"
    )
    counts = run(store, "ingest", str(tmp_path / "users.csv"))["tables"]["users"]
    assert (counts["updated"], counts["unchanged"]) == (1, 1)
    opened = read_personal(store, OURS).sort("plain_id").drop("user_id").to_dicts()
    assert opened == [
        {"plain_id": "anna7", "email": "new@example.org", "phone": "+49 30 1"},
        {"plain_id": "bert8", "email": "bert@example.org", "phone": None},
    ]


def test_two_addresses_of_one_person_in_one_file_contradict(store: Store, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(
        "user_id,email\ncleo9,one@example.org\ncleo9,two@example.org\n"
    )
    counts = run(store, "ingest", str(tmp_path / "users.csv"))["tables"]["users"]
    assert (counts["added"], counts["quarantined"]) == (1, {"conflicting_duplicate": 1})
    opened = read_personal(store, OURS)
    assert opened.filter(plain_id="cleo9")["email"].to_list() == ["one@example.org"]


def test_a_person_asks_for_what_is_held_and_is_erased_by_their_plain_id(
    store: Store, tmp_path: Path
) -> None:
    held = run(store, "export", "--user", "anna7")
    assert {table: len(rows) for table, rows in held.items()} == {
        "events": 2, "personal": 1, "reviews": 1, "users": 1,
    }  # fmt: skip
    assert held["personal"][0]["email"] == "anna@example.org"
    report = run(store, "erase", "--user", "anna7")
    assert report["before"]
    assert report["after"] == []
    files = [str(tmp_path / name) for name in FILES]
    again = run(store, "ingest", *files)["tables"]
    assert {table: counts["erased"] for table, counts in again.items() if counts["erased"]} == {
        "users": 1, "events": 2, "reviews": 1,
    }  # fmt: skip
    assert find_traces(store.path(), {OURS.of("anna7"), *PERSONAL}) == []
    assert read_personal(store, OURS)["plain_id"].to_list() == ["bert8"]


def test_labels_bring_plain_ids_and_get_them_back(store: Store, tmp_path: Path) -> None:
    store.overwrite("reviews", store.scan("reviews").collect().clear())
    labels, out = tmp_path / "labels.csv", tmp_path / "frame.csv"
    labels.write_text("user_id,label_time\nanna7,2026-01-03\nnobody,2026-01-03\n")
    run(store, "frames", str(labels), str(out))
    frame = pl.read_csv(out)
    assert frame["user_id"].to_list() == ["anna7", "nobody"]
    assert frame["user:num_purchases"].to_list() == [1, 0]


def test_without_the_key_or_with_another_nothing_is_read_or_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "events.csv"
    versions = [store.version(table) for table in store.names()]
    with pytest.raises(StoreError, match="holds pseudonyms: say"):
        ingest(store, [file], now=NOW)
    monkeypatch.setenv(KEY_VARIABLE, "ff" * 32)
    commands = [
        ["ingest", str(file)], ["export", "--user", "a"], ["erase", "--user", "a"], ["user", "a"],
        ["score"], ["profiles"], ["train"], ["outcomes"], ["satisfaction"], ["evaluate"],
        ["publish"], ["run"], ["run", str(file)],
        ["frames", str(tmp_path / "labels.csv"), str(tmp_path / "frame.csv")],
    ]  # fmt: skip
    (tmp_path / "labels.csv").write_text("user_id,label_time\na,2026-01-01\n")
    for command in commands:
        with pytest.raises(StoreError, match="pseudonyms of another key"):
            run(store, *command)
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(PseudonymKeyError, match="pseudonyms need a key"):
        run(store, "ingest", str(file))
    assert [store.version(table) for table in store.names()] == versions
