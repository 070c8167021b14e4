"""Where the event log of a store is."""

from typing import Literal, overload

from features.event_log.records import EventLog
from features.event_log.sqlite_log import SqliteEventLog
from features.store import Store

FOLDER = "event_log"
FILE = "events.db"
INGEST = "ingest"
"""The drain that brings entries into the tables."""


@overload
def event_log_of(store: Store, *, make: Literal[True] = True) -> EventLog: ...
@overload
def event_log_of(store: Store, *, make: bool) -> EventLog | None: ...
def event_log_of(store: Store, *, make: bool = True) -> EventLog | None:
    """Open the event log of a store.

    Args:
        store: A folder.
        make: Whether to make one where there is none.

    Returns:
        The log; None where there is none and none is to be made.

    Raises:
        StoreError: The store is no folder.
        EventLogError: The log cannot be opened.
    """
    if not make and not store.is_local:
        return None
    path = store.path(FOLDER, FILE)
    return SqliteEventLog(path) if make or path.exists() else None
