"""Erase a person from a store, and prove it; or hand out everything that is held on them.

First a tombstone is written: from then on no writer can bring the person back, be it a file that
is read again or a build that was running (see `features.store.Store`). Then their rows are deleted
from every table, and every older version of every table is removed. What was learned from them
together with others (weights, means of items) holds no id, and is learned anew by the next run.
"""

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from features.errors import StoreError
from features.event_log import EventLog
from features.event_log.of_store import event_log_of
from features.personal import PERSONAL, read_personal
from features.pseudonyms import Pseudonyms, check
from features.store import QUARANTINE, Store
from features.tombstones import ERASED, ID_COLUMNS, Tombstones
from features.traces import Trace, find_traces

EVENT_LOG = "event log"
"""What the event log is called among the tables of a report."""
_DELETED_AT_ONCE = 2000
_READ_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class ErasureReport:
    """What an erasure did.

    Attributes:
        rows: Deleted rows by table.
        before: Files that held ids of the user or their reviews.
        after: Files that hold them still; empty where all is well.
    """

    rows: dict[str, int]
    before: list[Trace]
    after: list[Trace]


def erase_user(
    store: Store,
    user_id: str,
    *,
    now: datetime,
    pseudonyms: Pseudonyms | None = None,
    event_log: str | None = None,
) -> ErasureReport:
    """Erase a user from a local store and its event log.

    Args:
        store: Where the tables are.
        user_id: Whom; the plain id, also where the store holds pseudonyms.
        now: The time of the tombstone.
        pseudonyms: Of the store, where it holds any.
        event_log: Address of the store's event log; None for a file in the store.

    Returns:
        What was deleted, and where ids were found before and after.

    Raises:
        StoreError: Nothing is held of the user, or the store cannot be written.
        EventLogError: The event log cannot be written.
    """
    check(store, pseudonyms)
    name = user_id if pseudonyms is None else pseudonyms.of(user_id)
    with ExitStack() as held:
        log = event_log_of(store, event_log, make=False)
        if log is not None:
            held.enter_context(closing(log))
        report = erase_name(store, name, now=now, log=log)
    if report is None:
        raise StoreError(f"nothing is held of the user {user_id!r} in {store.root}")
    return report


def erase_name(
    store: Store, name: str, *, now: datetime, log: EventLog | None
) -> ErasureReport | None:
    """Erase whom the tables know under a name; what was interrupted goes on when called again.

    Args:
        store: Where the tables are.
        name: The plain id, or the pseudonym where the store holds pseudonyms.
        now: The time of the tombstone.
        log: Of the store; None where there is none.

    Returns:
        What was deleted, and where ids were found before and after; None where nothing is held.

    Raises:
        StoreError: The store cannot be written.
        EventLogError: The event log cannot be written.
    """
    ids = {name, *_reviews_of(store, name)}
    before = find_traces(store.path(), ids)
    tombstones = store.tombstones()
    new = tombstones.rows(ids, now)
    is_in_log = log is not None and bool(log.entries_of(name))
    if not before and not is_in_log and len(new):
        return None
    if len(new):
        store.append(ERASED, new)
    tombstones = store.tombstones()
    rows = {}
    if log is not None:
        rows[EVENT_LOG] = log.erase(name, int(now.timestamp() * 1e6))
        log.complete_erasure(name)
    for table in store.names():
        if table != ERASED:
            rows[table] = _delete_marked(store, table, tombstones)
            store.forget_history(table)
    after = find_traces(store.path(), ids)
    if after and log is not None:
        after = find_traces(store.path(), ids - _sent_by_others(log, ids))
    return ErasureReport(
        rows={table: count for table, count in rows.items() if count}, before=before, after=after
    )


def export_user(
    store: Store,
    user_id: str,
    *,
    pseudonyms: Pseudonyms | None = None,
    event_log: str | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return every row that is held on a user, by table; refused rows of sources among them.

    What is sealed is opened. Entries of the event log are there as long as they stand, also those
    that have been brought into the tables.

    Args:
        store: Where the tables are.
        user_id: Whose; the plain id, also where the store holds pseudonyms.
        pseudonyms: Of the store, where it holds any.
        event_log: Address of the store's event log; None for a file in the store.

    Raises:
        StoreError: Nothing is held of the user.
        EventLogError: The event log cannot be read.
    """
    check(store, pseudonyms)
    name = user_id if pseudonyms is None else pseudonyms.of(user_id)
    marks = Tombstones.holding({name, *_reviews_of(store, name)})
    held = {}
    for table in store.names():
        if table == PERSONAL and pseudonyms is not None:
            frame = read_personal(store, pseudonyms, pl.DataFrame({"user_id": [name]}))
        else:
            frame = store.scan(table).collect()
        rows = frame.filter(marks.marked(frame))
        if len(rows):
            held[table] = rows.to_dicts()
    entries = _logged(store, name, event_log)
    if entries:
        held[EVENT_LOG] = entries
    if not held:
        raise StoreError(f"nothing is held of the user {user_id!r} in {store.root}")
    return held


def _logged(store: Store, name: str, event_log: str | None) -> list[dict[str, Any]]:
    log = event_log_of(store, event_log, make=False)
    if log is None:
        return []
    with closing(log):
        return [
            {
                "kind": entry.kind,
                "key": entry.key,
                "user_id": entry.user_id,
                "received_at": entry.received_at,
                "content": json.loads(entry.content),
            }
            for entry in log.entries_of(name)
        ]


def _reviews_of(store: Store, user_id: str) -> list[str]:
    if not store.exists("reviews"):
        return []
    own = store.scan("reviews").filter(pl.col("user_id") == user_id)
    return own.select("review_id").collect()["review_id"].to_list()


def _sent_by_others(log: EventLog, ids: set[str]) -> set[str]:
    """Return ids that the log holds as reviews of people who are not erased.

    Two users may send the same id: what is left of it then is no trace of the other.
    """
    found: set[str] = set()
    position = 0
    while entries := log.read(position, _READ_AT_ONCE):
        told = (json.loads(entry.content) for entry in entries if entry.kind == "review")
        found |= ids & {content.get("review_id") for content in told}
        position = entries[-1].position
    return found


def _delete_marked(store: Store, table: str, tombstones: Tombstones) -> int:
    """Delete the rows of erased ids; return how many there were."""
    columns = store.scan(table).collect_schema().names()
    named = [name for name in ID_COLUMNS if name in columns]
    if table.startswith(QUARANTINE):
        named = ["quarantine_id"]
    read = [*named, "row"] if table.startswith(QUARANTINE) else named
    if not named:
        return 0
    ids = store.scan(table).select(read).collect()
    marked = ids.filter(tombstones.marked(ids))
    deleted = 0
    for column in named:
        values = marked[column].unique().drop_nulls().to_list()
        if column in ID_COLUMNS:
            frame = pl.DataFrame({column: values}, schema={column: pl.String})
            values = frame.filter(tombstones.marked(frame))[column].to_list()
        for start in range(0, len(values), _DELETED_AT_ONCE):
            deleted += store.delete(table, column, values[start : start + _DELETED_AT_ONCE])
    return deleted
