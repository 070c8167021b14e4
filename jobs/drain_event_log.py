"""Bring what lies in the event log into the tables, exactly once.

Entries are read in order and brought in by the writers of `sentirec ingest`, which know every id
that is in a table: what an interrupted drain brought in already is found unchanged by the next one.
Only then the log is told how far the drain got.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from features.contracts import CONTRACTS
from features.erasure import erase_name
from features.event_log import Entry, EventLog
from features.event_log.coverage import covered_position
from features.event_log.of_store import FOLDER, INGEST, event_log_of
from features.pseudonyms import Pseudonyms
from features.readers import SOURCE_LINE
from features.store import Store
from jobs.distinct_ids import contents_of
from jobs.errors import BadInputError, NotErasedError
from jobs.ingest_tables import FileReport, IngestReport, IngestRun

CHUNK_ENTRIES = 50_000
KEEP_DAYS = 7.0
_TABLE_OF = {"event": "events", "feedback": "events", "review": "reviews", "exposure": "exposures"}


def drain(
    store: Store,
    log: EventLog,
    *,
    now: datetime,
    pseudonyms: Pseudonyms | None = None,
    keep_days: float = KEEP_DAYS,
    progress: Callable[[int], None] | None = None,
) -> IngestReport:
    """Bring events, reviews, exposures and erasures from the log into the tables.

    Args:
        store: Where the tables are.
        log: Of that store.
        now: The time of this run, with a zone.
        pseudonyms: Of the store; what is in the log bears them already.
        keep_days: How long entries stay in the log that answers do not need any more.
        progress: Told how many entries were just brought in.

    Returns:
        Counts by table.

    Raises:
        StoreError: The store cannot be written, or holds pseudonyms of another key.
        EventLogError: The log cannot be read or written.
        NotErasedError: All is brought in, but something of an erased person was found.
    """
    report = IngestReport()
    told = FileReport(path=store.path(FOLDER), format=FOLDER)
    position = log.drained(INGEST)
    left: set[str] = set()
    with ExitStack() as held:
        run = IngestRun(store, report.tables, now, pseudonyms, held, is_named=True)
        while entries := log.read(position, CHUNK_ENTRIES):
            for table in dict.fromkeys(_TABLE_OF.values()):
                chosen = [entry for entry in entries if _TABLE_OF.get(entry.kind) == table]
                if chosen:
                    contents = contents_of(store, log, table, chosen)
                    run.take_rows(table, _rows(table, chosen, contents), source=FOLDER)
            run.end_file()
            for entry in entries:
                if entry.kind == "erasure":
                    erased = erase_name(store, entry.user_id, now=now, log=log)
                    left |= {trace.file for trace in erased.after} if erased else set()
            position = entries[-1].position
            log.mark_drained(INGEST, position)
            told.records += len(entries)
            if progress is not None:
                progress(len(entries))
    report.files.append(told)
    oldest = now - timedelta(days=keep_days)
    log.prune(min(position, covered_position(store)), int(oldest.timestamp() * 1e6))
    if left:
        raise NotErasedError(f"ids of erased people are still in {', '.join(sorted(left))}")
    return report


def drain_store(
    store: Store,
    *,
    now: datetime,
    pseudonyms: Pseudonyms | None = None,
    event_log: str | None = None,
) -> IngestReport:
    """Drain the event log of a store; see `drain`.

    Args:
        store: Where the tables are.
        now: The time of this run, with a zone.
        pseudonyms: Of the store.
        event_log: Address of its event log; None for a file in the store.

    Raises:
        BadInputError: The store has no event log.
    """
    log = event_log_of(store, event_log, make=False)
    if log is None:
        place = ", in a folder" if event_log is None else " at the address of [event_log]"
        raise BadInputError(
            f"the store {store.root} has no event log: `sentirec serve` makes one{place}"
        )
    with closing(log):
        return drain(store, log, now=now, pseudonyms=pseudonyms)


def _rows(table: str, entries: Sequence[Entry], contents: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of a table, with the position in the log as their source line and order."""
    schema = CONTRACTS[table].create_empty().schema
    rows: list[dict[str, Any]] = [
        content | {"seq": entry.position, SOURCE_LINE: entry.position}
        for entry, content in zip(entries, contents, strict=True)
    ]
    # Times are microseconds in the log; whatever a row says beyond its contract stays there.
    raw = {
        name: pl.Int64() if isinstance(dtype, pl.Datetime) else dtype
        for name, dtype in schema.items()
    }
    return pl.DataFrame(rows, schema={**raw, SOURCE_LINE: pl.Int64()}).with_columns(
        pl.from_epoch(name, "us").dt.replace_time_zone("UTC")
        for name, dtype in schema.items()
        if isinstance(dtype, pl.Datetime)
    )
