"""Up to which entry of the event log the side tables know what happened.

What comes after it, answers take from the log itself; it is kept in the table `log_coverage`, which
is written after the side tables: for a moment an entry may count twice, never not at all.
"""

import polars as pl

from features.event_log.of_store import INGEST, event_log_of
from features.store import Store

LOG_COVERAGE = "log_coverage"


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
    try:
        return log.drained(INGEST)
    finally:
        log.close()


def write_coverage(store: Store, position: int) -> None:
    """Keep up to which entry the side tables know what happened.

    Nothing is written where that is what is kept already.

    Raises:
        StoreError: The table cannot be written.
    """
    if position != covered_position(store):
        frame = pl.DataFrame({"position": [position]}, schema={"position": pl.Int64()})
        store.overwrite(LOG_COVERAGE, frame)
