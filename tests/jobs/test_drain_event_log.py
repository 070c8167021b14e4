"""The event log into the tables, exactly once, through the command as through a broken run."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from table_rows import rows
from typer.testing import CliRunner

from features.contracts import CONTRACTS
from features.errors import EventLogError
from features.event_log import EventLog, Record
from features.event_log.coverage import covered_position
from features.event_log.of_store import INGEST, event_log_of
from features.event_log_section import ADDRESS_VARIABLE, EventLogSection
from features.pseudonyms import Pseudonyms
from features.store import Store
from features.traces import find_traces
from jobs import drain_event_log
from jobs.build_profiles import profiles
from jobs.cli import app, exit_code_of
from jobs.drain_event_log import drain
from jobs.errors import BadInputError
from jobs.ingest_tables import ingest
from jobs.newest_row import after_last_row

NOW = datetime(2026, 1, 10, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "shop")


@pytest.fixture(autouse=True, params=["file", "redis"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the log is: the commands read it from the environment."""
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    if request.param == "redis":
        monkeypatch.setenv(ADDRESS_VARIABLE, request.getfixturevalue("redis_log_address"))
    return request.param


def record(kind: str, key: str, user_id: str, /, **content: Any) -> Record:
    written = json.dumps(content).encode()
    return Record(kind=kind, key=key, user_id=user_id, received_at=NOW_US, content=written)  # type: ignore[arg-type]


def event(key: str, user_id: str, item_id: str = "i1", kind: str = "view", **more: Any) -> Record:
    content = {"event_id": key, "user_id": user_id, "item_id": item_id, "event_type": kind}
    log_kind = "feedback" if kind in ("dismiss", "reason_feedback") else "event"
    return record(log_kind, key, user_id, **content, event_time=NOW_US, **more)


def review(key: str, user_id: str, item_id: str, text: str) -> Record:
    content = {"review_id": key, "user_id": user_id, "item_id": item_id, "text": text}
    return record("review", key, user_id, **content, source="review", event_time=NOW_US)


def opened(store: Store) -> EventLog:
    return event_log_of(store, EventLogSection().resolved())


def drained(store: Store, **options: Any) -> dict[str, Any]:
    with closing(opened(store)) as log:
        return drain(store, log, now=NOW, **options).to_dict()["tables"]


def fill(store: Store) -> None:
    with closing(opened(store)) as log:
        log.append([event("e1", "anna"), event("e2", "bert", kind="purchase", price_cents=999)])
        log.append(
            [review("r1", "anna", "i1", "Great sound."), event("d1", "anna", kind="dismiss")]
        )
        log.append([record("signals", "r1", "anna", polarity=0.9)])
        shown = {"item_id": "i1", "rank": 1, "score": 0.5, "propensity": 0.25, "source": "popular"}
        log.append(
            [
                record(
                    "exposure",
                    "x1",
                    "anna",
                    recommendation_id="x1",
                    user_id="anna",
                    policy_propensity=0.5,
                    model_version="v1",
                    items=[shown],
                    candidates=["i1", "i2"],
                    event_time=NOW_US,
                )
            ]
        )


def test_what_the_server_took_in_comes_into_the_tables_once(store: Store) -> None:
    fill(store)

    first, second = drained(store), drained(store)

    assert {table: counts["added"] for table, counts in first.items()} == {
        "events": 3,
        "reviews": 1,
        "exposures": 1,
    }
    assert second == {}
    events = store.scan("events").collect().sort("event_id")
    assert events["event_id"].to_list() == ["d1", "e1", "e2"]
    assert events.filter(event_id="e2").row(0, named=True)["price_cents"] == 999
    assert events["event_time"].unique().to_list() == [NOW]
    assert events["seq"].n_unique() == 3
    shown = store.scan("exposures").collect().row(0, named=True)
    assert shown["items"] == [
        {"item_id": "i1", "rank": 1, "score": 0.5, "propensity": 0.25, "source": "popular"}
    ]
    assert shown["candidates"] == ["i1", "i2"]


def test_a_drain_that_died_before_it_told_the_log_doubles_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    log = opened(store)

    def dies(drain: str, position: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(log, "mark_drained", dies)
    with closing(log), pytest.raises(KeyboardInterrupt):
        drain(store, log, now=NOW)
    assert len(store.scan("events").collect()) == 3

    counts = drained(store)

    assert counts["events"]["unchanged"] == 3
    assert counts["exposures"]["unchanged"] == 1
    assert len(store.scan("events").collect()) == 3


def test_many_entries_are_read_in_bounded_pieces(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_event_log, "CHUNK_ENTRIES", 7)
    with closing(opened(store)) as log:
        log.append([event(f"e{n}", f"u{n % 3}") for n in range(50)])
    told: list[int] = []

    counts = drained(store, progress=told.append)

    assert counts["events"]["added"] == 50
    assert told == [7] * 7 + [1]


def test_what_breaks_a_contract_is_quarantined(store: Store) -> None:
    with closing(opened(store)) as log:
        log.append([event("e1", "anna", kind="levitate"), event("e2", "anna")])

    counts = drained(store)

    assert counts["events"]["quarantined"] == {"event_type_is_not_allowed": 1}
    kept = store.scan("quarantine/events").collect().row(0, named=True)
    assert kept["source_file"] == "event_log"
    assert json.loads(kept["row"])["event_type"] == "levitate"


def test_an_erasure_asked_of_the_server_is_carried_out_everywhere(store: Store) -> None:
    fill(store)
    drained(store)
    with closing(opened(store)) as log:
        log.append([event("e9", "anna")])
        log.erase("anna", NOW_US)

    drained(store)

    assert store.scan("events").collect()["user_id"].to_list() == ["bert"]
    assert find_traces(store.path(), {"anna", "r1"}) == []
    with closing(opened(store)) as log:
        assert log.append([event("e10", "anna")]) == ["erased"]


def test_who_is_in_the_log_alone_is_exported_and_erased(store: Store) -> None:
    with closing(opened(store)) as log:
        log.append([event("e1", "anna"), event("e2", "bert")])
    store.append("events", pl.DataFrame(schema=CONTRACTS["events"].create_empty().schema))

    asked = ["--user", "anna", "--store", store.root, "--json", "-"]
    held = CliRunner().invoke(app, ["export", *asked])
    erased = CliRunner().invoke(app, ["erase", *asked])

    (entry,) = json.loads(held.stdout)["event log"]
    assert (entry["kind"], entry["content"]["event_id"]) == ("event", "e1")
    assert json.loads(erased.stdout)["rows"] == {"event log": 1}
    with closing(opened(store)) as log:
        assert [entry.user_id for entry in log.read(0, 100)] == ["bert", ""]
        assert log.append([event("e3", "anna")]) == ["erased"]


def test_erasing_one_user_does_not_find_a_longer_name_in_the_log(store: Store) -> None:
    with closing(opened(store)) as log:
        log.append([event("e1", "anna"), event("e2", "annabel")])
    drained(store)
    result = CliRunner().invoke(app, ["erase", "--user", "anna", "--store", store.root])

    assert result.exit_code == 0, result.output
    assert store.scan("events").collect()["user_id"].to_list() == ["annabel"]
    with closing(opened(store)) as log:
        assert {entry.user_id for entry in log.read(0, 100)} == {"annabel", ""}


def test_a_log_of_pseudonyms_is_not_named_again(store: Store, tmp_path: Path) -> None:
    ours = Pseudonyms.of_secret(b"x" * 32)
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("user_id,item_id,rating,timestamp\nanna,i1,5,1600000000\n")
    ingest(store, [ratings], now=NOW, pseudonyms=ours)
    name = ours.of("anna")
    with closing(opened(store)) as log:
        log.append([event("e1", name)])

    drained(store, pseudonyms=ours)

    assert store.scan("events").collect()["user_id"].unique().to_list() == [name]


def test_old_entries_leave_the_log_once_the_profiles_know_them(store: Store) -> None:
    fill(store)
    late = NOW + timedelta(days=30)
    with closing(opened(store)) as log:
        drain(store, log, now=late)
        assert len(log.read(0, 100)) == 6
        store.overwrite("log_coverage", pl.DataFrame({"position": [log.drained(INGEST)]}))
        assert covered_position(store) == log.drained(INGEST)

        drain(store, log, now=late)

        assert [entry.kind for entry in log.read(0, 100)] == ["feedback"]


def test_profiles_cover_what_was_drained_before(store: Store) -> None:
    with closing(opened(store)) as log:
        log.append([event("e1", "anna"), event("e2", "bert")])
        drained(store)
        log.append([event("e3", "anna")])
        store.append("items", rows("items", {"item_id": "i1", "categories": []}))

        result = CliRunner().invoke(app, ["profiles", "--store", store.root])

        assert result.exit_code == 0, result.output
        assert covered_position(store) == log.drained(INGEST) > 0
        assert [entry.key for entry in log.read(covered_position(store), 10)] == ["e3"]


def at(key: str, seconds: float, user_id: str = "anna") -> Record:
    """A view, told at `NOW`, that happened so many seconds after it."""
    content = {"event_id": key, "user_id": user_id, "item_id": "i1", "event_type": "view"}
    return record("event", key, user_id, **content, event_time=NOW_US + int(seconds * 1e6))


def review_at(key: str, seconds: float) -> Record:
    content = {"review_id": key, "user_id": "bert", "item_id": "i1", "source": "review"}
    time = NOW_US + int(seconds * 1e6)
    return record("review", key, "bert", **content, rating=4.0, event_time=time)


def signalled(store: Store) -> None:
    """Signals for every review that has none."""
    said = {"model_version": "m", "language": "und", "aspects": [], "needs": []}
    said |= {"mixed": False, "truncated": False, "stars_expected": 3.0}
    said |= dict.fromkeys(("p_negative", "p_neutral", "p_positive", "polarity", "intensity"), 0.0)
    reviews = store.scan("reviews").collect()
    found = [said | {"review_id": name} for name in reviews["review_id"]]
    store.overwrite("review_signals", rows("review_signals", *found))


def test_one_row_ahead_does_not_make_the_whole_log_count_twice(store: Store, place: str) -> None:
    address = EventLogSection().resolved()
    store.append("items", rows("items", {"item_id": "i1", "categories": []}))

    def build(as_of: datetime) -> int:
        signalled(store)
        profiles(store, version="m", as_of=as_of, event_log=address)
        return covered_position(store)

    with closing(opened(store)) as log:
        # What an older server took in for the year 2099 holds up nothing.
        log.append([at("far", 1e9), at("e1", -7200), review_at("r1", -3600)])
        log.append([event("d1", "anna", kind="dismiss"), at("ahead", 120), at("e2", -60)])
        log.append([record("signals", "r1", "bert", item_id="i1", polarity=0.5)])
        drained(store)
        ahead = next(entry.position for entry in log.read(0, 10) if entry.key == "ahead")

        assert build(after_last_row(store, NOW)) == ahead - 1
        assert log.prune(covered_position(store), before=NOW_US + 1) == 3

        log.append([review_at("late", 200)])
        drained(store)
        late = log.read(0, 10)[-1].position
        assert build(NOW + timedelta(seconds=150)) == late - 1
        assert build(NOW + timedelta(seconds=150)) == late - 1
        assert build(NOW - timedelta(days=1)) == ahead - 1
        assert build(NOW + timedelta(seconds=201)) == log.drained(INGEST)


def test_a_review_may_be_the_last_thing_that_happened(store: Store) -> None:
    with closing(opened(store)) as log:
        log.append([at("e1", -60)])
        drained(store)
        assert after_last_row(store, NOW) == NOW - timedelta(seconds=60, microseconds=-1)
        log.append([review_at("r1", -30), review_at("r2", 10)])
    drained(store)
    assert after_last_row(store, NOW) == NOW - timedelta(seconds=30, microseconds=-1)


def test_one_id_of_two_users_is_two_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(key: str, told: Record) -> Record:
        return Record(**{**vars(told), "key": key})

    long = "e" * 256
    with closing(opened(store)) as log:
        log.append([of("1", event("e-1", "eve")), of("2", event("e-1", "anna", kind="purchase"))])
        log.append([of("3", review("r-1", "eve", "i1", "Bad.")), of("4", event(long, "eve"))])
        log.append([of("5", event("e-1", "anna", kind="dismiss"))])
    drained(store)
    with closing(opened(store)) as log:
        log.append([of("6", review("r-1", "anna", "i1", "Good.")), of("7", event(long, "anna"))])
        with monkeypatch.context() as dying:
            dying.setattr(type(log), "mark_drained", lambda *args: None)
            drain(store, log, now=NOW)

    counts = drained(store)

    assert counts["events"]["unchanged"] == counts["reviews"]["unchanged"] == 1
    events = store.scan("events").collect().sort("seq")
    assert events.select("user_id", "event_type").rows() == [
        ("eve", "view"),
        ("anna", "purchase"),
        ("eve", "view"),
        ("anna", "dismiss"),
        ("anna", "view"),
    ]
    ids = events["event_id"].to_list()
    assert (ids[0], ids[2]) == ("e-1", long)
    assert events["event_id"].is_unique().all()
    assert ids[1].startswith("e-1~")
    assert "anna" not in ids[1]
    reviews = store.scan("reviews").collect().sort("seq")
    assert reviews["user_id"].to_list() == ["eve", "anna"]
    assert reviews["review_id"][0] == "r-1"
    assert not store.exists("quarantine/events")

    with closing(opened(store)) as log:
        log.erase("eve", NOW_US)
        # The log has forgotten them, and they come again.
        log.append([of("8", event("e-1", "anna", kind="purchase"))])
        log.append([of("9", review("r-1", "cleo", "i1", "So so."))])
    counts = drained(store)
    assert counts["events"]["unchanged"] == 1
    reviews = store.scan("reviews").collect().sort("seq")
    assert reviews["user_id"].to_list() == ["anna", "cleo"]


def test_an_address_that_leads_nowhere_is_told_without_its_password(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain_it = ["ingest", "--from-event-log", "--store", store.root]
    for address in ("redis://:hunter2@127.0.0.1:1/0", "hunter2", "redis://:hunter2/@host"):
        monkeypatch.setenv(ADDRESS_VARIABLE, address)
        result = CliRunner().invoke(app, drain_it)
        assert isinstance(result.exception, EventLogError)
        assert "hunter2" not in str(result.exception)
        assert exit_code_of(result.exception) == 2


def test_the_command_says_what_it_brought_in(store: Store, tmp_path: Path) -> None:
    fill(store)
    result = CliRunner().invoke(app, ["ingest", "--from-event-log", "--store", store.root])
    assert result.exit_code == 0, result.output
    assert "event log: 6 entries brought in" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--from-event-log"], "has no event log"), ([], "nothing to ingest")],
)
def test_without_anything_to_read_the_command_says_so(
    store: Store, arguments: list[str], told: str
) -> None:
    result = CliRunner().invoke(app, ["ingest", *arguments, "--store", store.root])
    assert isinstance(result.exception, BadInputError)
    assert told in str(result.exception)
