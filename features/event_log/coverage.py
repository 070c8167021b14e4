"""Up to which entry of the event log the side tables know what happened.

What comes after it, answers take from the log itself; it is kept in the table `log_coverage`, which
goes up after the side tables are written and down before: for a moment an entry may count twice,
never not at all.
"""

import json
from contextlib import closing
from datetime import datetime

import polars as pl

from features.event_log.of_store import INGEST, event_log_of
from features.event_log.records import MAX_AHEAD_S, Entry, Kind
from features.store import Store

LOG_COVERAGE = "log_coverage"
_IN_SIDE_TABLES: tuple[Kind, ...] = ("event", "review")
"""Kinds that side tables are made of; what was read in a review goes where the review goes."""
_CHUNK_ENTRIES = 10_000


def covered_position(store: Store) -> int:
    """Return the position of the last entry that is in the side tables, 0 where none is."""
    if not store.exists(LOG_COVERAGE):
        return 0
    return store.scan(LOG_COVERAGE).collect()["position"].item()


def drained_position(store: Store, event_log: str | None = None) -> int:
    """Return the position of the last entry that is in the tables of events and reviews.

    Args:
        store: Where the tables are.
        event_log: Address of its event log; None for a file in the store.

    Raises:
        EventLogError: The log cannot be read.
    """
    log = event_log_of(store, event_log, make=False)
    if log is None:
        return 0
    with closing(log):
        return log.drained(INGEST)


def position_before(
    store: Store, as_of: datetime, *, drained: int, event_log: str | None = None
) -> int:
    """Return up to which entry all that was drained happened before a time.

    Tables that are made of rows before that time hold every entry up to there: after it comes the
    first that is left out of them. One that was told to happen later than any server takes
    (`MAX_AHEAD_S`) does not count as left out: it would hold up all others until then.

    Args:
        store: Where the tables are.
        as_of: The time, with a zone.
        drained: Position of the last entry that was drained when the tables were read.
        event_log: Address of the store's event log; None for a file in the store.

    Raises:
        EventLogError: The log cannot be read.
    """
    log = event_log_of(store, event_log, make=False)
    if log is None:
        return 0
    moment, position = round(as_of.timestamp() * 1e6), 0
    with closing(log):
        while position < drained and (entries := log.read(position, _CHUNK_ENTRIES)):
            for entry in entries:
                if entry.position > drained:
                    return drained
                if _is_left_out(entry, moment):
                    return entry.position - 1
            position = entries[-1].position
    return drained


def _is_left_out(entry: Entry, as_of: int) -> bool:
    if entry.kind not in _IN_SIDE_TABLES:
        return False
    time = json.loads(entry.content)["event_time"]
    return as_of <= time <= entry.received_at + MAX_AHEAD_S * 1_000_000


def write_coverage(store: Store, position: int) -> None:
    """Keep up to which entry the side tables know what happened.

    Nothing is written where that is what is kept already.

    Raises:
        StoreError: The table cannot be written.
    """
    if position != covered_position(store):
        frame = pl.DataFrame({"position": [position]}, schema={"position": pl.Int64()})
        store.overwrite(LOG_COVERAGE, frame)
