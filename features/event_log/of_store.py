"""Where the event log of a store is: a file in it, or a Redis server."""

from typing import Literal, overload

from features.event_log.records import EventLog
from features.event_log.sqlite_log import SqliteEventLog
from features.store import Store

FOLDER = "event_log"
FILE = "events.db"
INGEST = "ingest"
"""The drain that brings entries into the tables."""


@overload
def event_log_of(
    store: Store, address: str | None = None, *, make: Literal[True] = True
) -> EventLog: ...
@overload
def event_log_of(store: Store, address: str | None = None, *, make: bool) -> EventLog | None: ...
def event_log_of(store: Store, address: str | None = None, *, make: bool = True) -> EventLog | None:
    """Open the event log of a store.

    Args:
        store: A folder.
        address: Of a log in Redis, see `features.event_log.redis_address`; None for a file in the
            store. One log is of one store.
        make: Whether to make one where there is none.

    Returns:
        The log; None where there is none and none is to be made.

    Raises:
        StoreError: The store is no folder, and the log is to be a file in it.
        EventLogError: The address is none, or the log cannot be opened.
    """
    if address is not None:
        return _redis_log(address, make=make)
    if not make and not store.is_local:
        return None
    path = store.path(FOLDER, FILE)
    return SqliteEventLog(path) if make or path.exists() else None


def _redis_log(address: str, *, make: bool) -> EventLog | None:
    from features.event_log.redis_address import RedisAddress

    parsed = RedisAddress.parse(address)
    # Its library takes half a second to be imported: more than many commands do.
    from features.event_log.redis_log import RedisEventLog

    return RedisEventLog(parsed) if make or RedisEventLog.is_at(parsed) else None
