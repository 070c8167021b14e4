import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from features import durability
from features.errors import StoreError
from features.schema import TABLES
from features.store import COMPACT_AFTER_FILES, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "shop")


def signals(num_rows: int = 2) -> pl.DataFrame:
    schema = TABLES["review_signals"].create_empty().schema
    aspect = {"aspect": "sound", "polarity": 0.5, "confidence": 0.9, "start": 1, "end": 2}
    row = {
        "model_version": "m1",
        "language": "en",
        "p_negative": 0.1,
        "p_neutral": 0.2,
        "p_positive": 0.7,
        "polarity": 0.6,
        "intensity": 0.8,
        "stars_expected": 4.5,
        "mixed": False,
        "emotions": {"joy": 0.5},
        "aspects": [aspect],
        "needs": [],
        "embedding": [0.125] * 384,
        "truncated": False,
    }
    rows = [{"review_id": f"r{number}", **row} for number in range(num_rows)]
    rows[-1] |= {"embedding": None, "emotions": None, "aspects": [], "needs": []}
    return pl.DataFrame(rows, schema=schema, strict=False)


def users(**columns: list[object]) -> pl.DataFrame:
    empty = TABLES["users"].create_empty()
    num_rows = len(next(iter(columns.values())))
    data = {name: columns.get(name, [None] * num_rows) for name in empty.columns}
    return pl.DataFrame(data, schema=empty.schema, strict=False)


def test_missing_table_names_the_command_that_makes_it(store: Store) -> None:
    assert not store.exists("reviews")
    assert store.version("reviews") is None
    with pytest.raises(StoreError, match="sentirec ingest"):
        store.scan("reviews")
    with pytest.raises(StoreError, match="sentirec score"):
        store.scan("review_signals")


def test_arrays_and_nested_lists_come_back_with_exact_types(store: Store) -> None:
    frame = signals()
    store.append("review_signals", frame)
    back = store.scan("review_signals").collect()
    assert back.schema == frame.schema
    assert back.sort("review_id").equals(frame)


def test_upsert_of_arrays_keeps_types_and_replaces_rows(store: Store) -> None:
    store.append("review_signals", signals(2))
    changed = signals(3).with_columns(language=pl.lit("fr"))
    store.upsert("review_signals", changed, ["review_id", "model_version"])
    back = store.scan("review_signals").sort("review_id").collect()
    assert back.equals(changed)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_round_trips_empty(store: Store, table: str) -> None:
    empty = TABLES[table].create_empty()
    store.append(table, empty)
    assert store.scan(table).collect().schema == empty.schema


def test_times_stay_utc_microseconds(store: Store) -> None:
    moment = datetime(2020, 5, 17, 1, 2, 3, 456789, tzinfo=UTC)
    store.append("users", users(user_id=["u"], signup_at=[moment], consents=[["email"]]))
    back = store.scan("users").collect()
    assert back.schema["signup_at"] == pl.Datetime("us", "UTC")
    assert back["signup_at"].item() == moment


def test_versions_count_commits(store: Store) -> None:
    store.append("users", users(user_id=["u"], consents=[[]]))
    assert store.version("users") == 0
    store.append("users", users(user_id=["v"], consents=[[]]))
    assert store.version("users") == 1
    store.overwrite("users", users(user_id=["w"], consents=[[]]))
    assert store.version("users") == 2
    assert store.scan("users").collect()["user_id"].to_list() == ["w"]


def test_appending_nothing_commits_nothing(store: Store) -> None:
    store.append("users", users(user_id=["u"], consents=[[]]))
    store.append("users", TABLES["users"].create_empty())
    assert store.version("users") == 0


def test_overwrite_may_change_the_columns_of_a_free_table(store: Store) -> None:
    store.overwrite("user_profiles", pl.DataFrame({"user_id": ["u"], "a": [1]}))
    store.overwrite("user_profiles", pl.DataFrame({"user_id": ["u"], "b": [2.0]}))
    assert store.scan("user_profiles").collect().columns == ["user_id", "b"]


def test_a_table_of_an_older_contract_is_told(store: Store) -> None:
    assert store.fits("review_signals")
    store.append("review_signals", signals(2))
    assert store.fits("review_signals")
    older = pl.scan_delta(str(store.path("tables/review_signals"))).collect().drop("mixed")
    write_deltalake(
        str(store.path("tables/review_signals")), older, mode="overwrite", schema_mode="overwrite"
    )
    assert not store.fits("review_signals")


def test_wrong_columns_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="wants the columns"):
        store.append("users", pl.DataFrame({"user_id": ["u"]}))


def test_upsert_refuses_a_key_that_occurs_twice(store: Store) -> None:
    with pytest.raises(ValueError, match="twice"):
        store.upsert("users", users(user_id=["u", "u"], consents=[[], []]), ["user_id"])


def test_new_data_log_and_folders_are_synced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durability, "_sync", synced.append)
    store.append("users", users(user_id=["u"], consents=[[]]))
    folder = store.path("tables", "users")
    data = set(folder.glob("*.parquet"))
    assert len(data) == 1
    log = folder / "_delta_log"
    assert data | {folder, log, log / f"{0:020d}.json", folder.parent} <= set(synced)
    synced.clear()
    store.upsert("users", users(user_id=["u"], country=["CN"], consents=[[]]), ["user_id"])
    assert (set(folder.glob("*.parquet")) - data) | {log / f"{1:020d}.json"} <= set(synced)


def test_line_separators_in_a_text_do_not_disturb_a_commit(store: Store) -> None:
    frame = users(user_id=["u"], country=["a\x85b\u2028c\nd"], consents=[[]])
    store.append("users", frame)
    assert store.scan("users").collect().equals(frame)


def test_many_small_files_are_joined(store: Store) -> None:
    for number in range(COMPACT_AFTER_FILES + 1):
        store.append("users", users(user_id=[f"u{number}"], consents=[[]]))
    before = store.scan("users").sort("user_id").collect()
    version = store.version("users")
    assert version is not None
    store.compact("users")
    assert store.version("users") == version + 1
    assert store.scan("users").sort("user_id").collect().equals(before)


def test_a_store_at_an_address_has_no_local_files() -> None:
    with pytest.raises(StoreError, match="no local files"):
        Store("s3://bucket/shop").path("bundles")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot write to the store"):
        store.append("users", users(user_id=["u"], consents=[[]]))
    with pytest.raises(StoreError, match="cannot write"), store.lock("ingest"):
        pass


def test_a_damaged_log_is_a_store_error(store: Store) -> None:
    store.append("users", users(user_id=["u"], consents=[[]]))
    log = store.path("tables", "users", "_delta_log", f"{0:020d}.json")
    log.write_text("{ this is no log")
    with pytest.raises(StoreError, match="users"):
        store.scan("users").collect()


@pytest.mark.parametrize(("keep", "message"), [(100, "has 100 bytes"), (None, "is missing")])
def test_a_cut_or_missing_file_is_a_store_error(
    store: Store, keep: int | None, message: str
) -> None:
    store.append("users", users(user_id=["u"], consents=[[]]))
    store.append("users", users(user_id=["v"], consents=[[]]))
    path = next(store.path("tables", "users").glob("*.parquet"))
    if keep is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match=f"users is damaged: .*{message}, .* were committed"):
        store.scan("users")


def _append_some(root: str, name: str) -> None:
    for number in range(5):
        Store(root).append("users", users(user_id=[f"{name}{number}"], consents=[[]]))


@pytest.mark.slow
def test_concurrent_writers_lose_nothing(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_some, args=(store.root, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert store.scan("users").collect()["user_id"].n_unique() == 10
