"""The event log: what arrives while the server runs, durable before it is acknowledged."""

from features.event_log.records import (
    KINDS,
    MAX_AHEAD_S,
    PRUNED,
    WRITTEN_BY_LOG,
    Entry,
    EventLog,
    Kind,
    Outcome,
    Record,
    Tail,
)
from features.event_log.sqlite_log import SqliteEventLog

__all__ = [
    "KINDS",
    "MAX_AHEAD_S",
    "PRUNED",
    "WRITTEN_BY_LOG",
    "Entry",
    "EventLog",
    "Kind",
    "Outcome",
    "Record",
    "SqliteEventLog",
    "Tail",
]
