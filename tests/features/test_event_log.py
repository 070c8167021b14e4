"""The contract of every event log."""

import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from features.errors import EventLogError
from features.event_log import EventLog, Record, SqliteEventLog
from features.event_log.redis_address import RedisAddress
from features.event_log.redis_log import RedisEventLog

Open = Callable[[], EventLog]
DAY_US = 86_400_000_000


def record(key: str, user_id: str = "u1", kind: str = "event", at: int = 1) -> Record:
    content = json.dumps({"key": key}).encode()
    return Record(kind=kind, key=key, user_id=user_id, received_at=at, content=content)  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "redis"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the same log as often as wanted, as several processes would."""
    opened: list[EventLog] = []
    address = None
    if request.param == "redis":
        address = RedisAddress.parse(request.getfixturevalue("redis_log_address"))

    def open_once() -> EventLog:
        path = tmp_path / "shop" / "events.db"
        opened.append(SqliteEventLog(path) if address is None else RedisEventLog(address))
        return opened[-1]

    yield open_once
    for log in opened:
        log.close()


def test_what_is_appended_is_read_in_order(open_log: Open) -> None:
    log = open_log()

    assert log.append([record("a"), record("b", "u2")]) == ["added", "added"]
    assert log.append([record("c", kind="review")]) == ["added"]

    entries = open_log().read(0, 10)
    assert [(entry.kind, entry.key, entry.user_id) for entry in entries] == [
        ("event", "a", "u1"),
        ("event", "b", "u2"),
        ("review", "c", "u1"),
    ]
    assert json.loads(entries[1].content) == {"key": "b"}
    assert [entry.key for entry in log.read(entries[0].position, 1)] == ["b"]


def test_the_same_id_is_kept_once_and_the_first_wins(open_log: Open) -> None:
    log, other = open_log(), open_log()
    log.append([record("a", "u1")])

    outcomes = other.append([record("a", "u2"), record("b"), record("b")])

    assert outcomes == ["known", "added", "known"]
    assert [(entry.key, entry.user_id) for entry in log.read(0, 10)] == [("a", "u1"), ("b", "u1")]


def test_one_id_of_two_kinds_is_two_records(open_log: Open) -> None:
    assert open_log().append([record("a"), record("a", kind="review")]) == ["added", "added"]


def test_a_tail_sees_every_acknowledged_record_once(open_log: Open) -> None:
    log, other = open_log(), open_log()
    log.append([record("before")])
    tail = other.tail()

    seen = [entry.key for entry in tail.poll()]
    for number in range(20):
        log.append([record(f"e{number}"), record(f"x{number}", kind="exposure")])
        seen += [entry.key for entry in tail.poll()]
        assert tail.poll() == []

    assert seen == ["before", *(f"e{number}" for number in range(20))]
    tail.close()


def test_a_tail_begins_where_it_is_told(open_log: Open) -> None:
    log = open_log()
    log.append([record("a"), record("b")])
    first = log.read(0, 1)[0]
    tail = log.tail(first.position)

    assert [entry.key for entry in tail.poll()] == ["b"]
    tail.close()


def test_many_writers_lose_and_double_nothing(open_log: Open) -> None:
    logs = [open_log(), open_log()]

    def write(worker: int) -> list[str]:
        # Workers 0 and 1 send the same records, as a client that tries again does.
        batches = [[record(f"{worker // 2}-{n}-{i}") for i in range(5)] for n in range(40)]
        return [outcome for batch in batches for outcome in logs[worker % 2].append(batch)]

    with ThreadPoolExecutor(8) as pool:
        outcomes = [outcome for found in pool.map(write, range(8)) for outcome in found]

    keys = [entry.key for entry in logs[0].read(0, 10_000)]
    assert len(keys) == len(set(keys)) == 4 * 40 * 5
    assert outcomes.count("added") == len(keys)
    assert outcomes.count("known") == len(keys)


def test_positions_rise_in_the_order_of_commits(open_log: Open) -> None:
    log, other = open_log(), open_log()
    tail = other.tail()
    done = threading.Event()

    def write(writer: EventLog, name: str) -> None:
        for number in range(100):
            writer.append([record(f"{name}{number}")])

    def read() -> list[int]:
        positions: list[int] = []
        while not done.is_set():
            positions += [entry.position for entry in tail.poll()]
        return positions + [entry.position for entry in tail.poll()]

    with ThreadPoolExecutor(3) as pool:
        reading = pool.submit(read)
        writing = [pool.submit(write, log, "a"), pool.submit(write, other, "b")]
        for each in writing:
            each.result()
        done.set()
        positions = reading.result()

    assert positions == sorted(set(positions))
    assert len(positions) == 200
    tail.close()


def test_an_erased_user_is_gone_and_stays_away(open_log: Open) -> None:
    log, other = open_log(), open_log()
    log.append([record("a", "gone"), record("b", "stays"), record("c", "gone", "feedback")])
    tail = other.tail()
    tail.poll()

    assert log.erase("gone", 5) == 2

    assert [(entry.kind, entry.user_id) for entry in tail.poll()] == [("erasure", "gone")]
    assert [entry.key for entry in other.read(0, 10) if entry.kind != "erasure"] == ["b"]
    assert other.append([record("d", "gone"), record("e", "stays")]) == ["erased", "added"]
    assert log.erase("gone", 6) == 0
    assert len([entry for entry in log.read(0, 10) if entry.kind == "erasure"]) == 1
    log.complete_erasure("gone")
    log.complete_erasure("gone")
    assert "gone" not in {entry.user_id for entry in log.read(0, 10)}
    assert open_log().append([record("d", "gone")]) == ["erased"]
    tail.close()


def test_a_tail_that_missed_an_erasure_sees_who_was_erased(open_log: Open) -> None:
    log, other = open_log(), open_log()
    log.append([record("a", "gone"), record("b", "stays")])
    tail = other.tail()
    tail.poll()

    log.erase("gone", 5)
    log.complete_erasure("gone")

    (told,) = tail.poll()
    assert (told.kind, told.key, told.user_id) == ("erased", other.name_hash("gone"), "")
    assert (told.received_at, told.content) == (5, b"{}")
    assert other.name_hash("gone") not in ("gone", other.name_hash("stays"))
    log.complete_erasure("gone")
    log.complete_erasure("stays")
    log.erase("gone", 6)
    log.complete_erasure("gone")
    assert [entry.kind for entry in log.read(0, 10)] == ["event", "erased"]
    assert log.entries_of("gone") == []
    assert log.prune(told.position, before=5) == 1
    assert log.prune(told.position, before=6) == 1
    assert log.read(0, 10) == []
    assert open_log().append([record("d", "gone")]) == ["erased"]
    tail.close()


def test_a_drain_keeps_how_far_it_got(open_log: Open) -> None:
    log = open_log()
    assert log.drained("ingest") == 0

    log.mark_drained("ingest", 7)
    log.mark_drained("ingest", 7)

    assert open_log().drained("ingest") == 7
    assert log.drained("other") == 0
    with pytest.raises(ValueError, match="further"):
        log.mark_drained("ingest", 6)


def test_pruning_keeps_feedback_what_is_young_and_what_comes_after(open_log: Open) -> None:
    log = open_log()
    log.append([record("old"), record("wrong", kind="feedback"), record("shown", kind="exposure")])
    log.append([record("young", at=DAY_US), record("next")])
    through = log.read(0, 10)[3].position

    assert log.prune(through, before=DAY_US) == 2

    assert [entry.key for entry in log.read(0, 10)] == ["wrong", "young", "next"]
    assert [entry.key for entry in log.feedback(through)] == ["wrong"]
    assert log.feedback(0) == []


def test_a_position_is_never_given_twice(open_log: Open) -> None:
    log = open_log()
    log.append([record("a")])
    last = log.read(0, 1)[0].position
    log.prune(last, before=DAY_US)

    open_log().append([record("b")])

    assert log.read(0, 1)[0].position > last


def test_an_erasure_is_not_appended_by_hand(open_log: Open) -> None:
    for kind in ("erasure", "erased"):
        with pytest.raises(ValueError, match="erase"):
            open_log().append([record("u1", kind=kind)])


def test_many_entries_of_all_kinds_are_read_in_order(open_log: Open) -> None:
    log = open_log()
    rng = random.Random(0)
    # Runs of one kind, longer and shorter than what is read at once.
    kinds = [
        kind
        for length in (3, 2500, 1, 4100, 700)
        for kind in rng.choices(["event", "review", "feedback", "exposure"], k=1) * length
    ]
    kinds += rng.choices(["event", "review", "feedback", "exposure"], k=3000)
    log.append([record(f"e{place}", kind=kind) for place, kind in enumerate(kinds)])
    tail = log.tail()

    found = log.read(0, 100_000)

    assert [entry.key for entry in found] == [f"e{place}" for place in range(len(kinds))]
    assert [entry.kind for entry in found] == kinds
    assert log.read(found[99].position, 5000) == found[100:5100]
    assert tail.poll() == [entry for entry in found if entry.kind != "exposure"]
    assert log.feedback(found[9000].position) == [
        entry for entry in found[:9001] if entry.kind == "feedback"
    ]
    assert log.prune(found[-1].position, before=DAY_US) == len(kinds) - kinds.count("feedback")
    assert {entry.kind for entry in log.read(0, 100_000)} == {"feedback"}
    tail.close()


def test_all_of_a_user_is_found(open_log: Open) -> None:
    log = open_log()
    log.append([record("a", "u1"), record("b", "u2"), record("c", "u1", "review")])

    assert [(entry.kind, entry.key) for entry in log.entries_of("u1")] == [
        ("event", "a"),
        ("review", "c"),
    ]
    log.erase("u1", 5)
    assert [entry.kind for entry in log.entries_of("u1")] == ["erasure"]
    log.complete_erasure("u1")
    assert log.entries_of("u1") == log.entries_of("nobody") == []


def test_a_closed_log_takes_nothing(open_log: Open) -> None:
    log = open_log()
    log.close()
    log.close()
    with pytest.raises(EventLogError, match="closed"):
        log.append([record("a")])


def test_erased_bytes_are_in_no_file(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db")
    log.append([record("secret-event", "secret-user"), record("b")])
    log.erase("secret-user", 5)
    log.complete_erasure("secret-user")

    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert b"secret" not in left
    assert [entry.key for entry in log.read(0, 10)] == ["b", log.name_hash("secret-user")]
    log.close()


def test_what_is_no_event_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(EventLogError, match=r"events\.db"):
        SqliteEventLog(tmp_path / "events.db")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (a)")
    other.close()
    with pytest.raises(EventLogError, match="no event log"):
        SqliteEventLog(tmp_path / "other.db")


def test_a_failed_write_acknowledges_nothing(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db")
    log.append([record("a")])
    blocker = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    blocker.execute(
        "CREATE TRIGGER full BEFORE INSERT ON entries WHEN new.key = 'c'"
        " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )

    with pytest.raises(EventLogError, match="disk is full"):
        log.append([record("b"), record("c")])

    assert [entry.key for entry in log.read(0, 10)] == ["a"]
    blocker.execute("DROP TRIGGER full")
    blocker.close()
    assert log.append([record("b"), record("c")]) == ["added", "added"]
    log.close()
