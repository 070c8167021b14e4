"""An event log in one SQLite file: the default, for servers on one machine.

Group commit: one thread of each process writes whatever was submitted since its last commit in one
transaction, and acknowledges it after SQLite has synced its write-ahead log (`synchronous=FULL`).
Processes take turns by a lock file, in which they wait instead of trying again.

The file must lie on a local disk: SQLite's write-ahead log needs shared memory.
"""

import fcntl
import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from features.errors import EventLogError
from features.event_log.group_commit import GroupCommit
from features.event_log.records import PRUNED, WRITTEN_BY_LOG, Entry, Outcome, Record

FORMAT = 1
MAX_GROUP = 20_000
"""Records of one transaction, unless a single call brings more."""
BUSY_S = 30.0
_ENTRY_COLUMNS = "position, kind, key, user_id, received_at, content"
_SCHEMA = """
CREATE TABLE entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    user_id TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    content BLOB NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX entries_of_user ON entries (user_id);
CREATE INDEX feedback ON entries (position) WHERE kind = 'feedback';
CREATE TABLE drains (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE erased (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_T = TypeVar("_T")
_Work = Callable[[sqlite3.Connection], object]
"""Something to be done within the next transaction."""


class SqliteEventLog:
    """See `features.event_log.records.EventLog`.

    Args:
        path: The file; it and its folder are made where they do not exist.

    Raises:
        EventLogError: If there is a file that is no event log, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EventLogError(f"cannot write the event log {path}: {error}") from error
        with self._turn(), _reported(path):
            self._salt = _prepare(path)
        self._connection: sqlite3.Connection | None = None
        self._writer = GroupCommit[_Work](
            str(path), self._commit, max_weight=MAX_GROUP, finish=self._disconnect
        )

    def submit(self, records: Sequence[Record]) -> "Future[list[Outcome]]":
        """Append records in one piece; the result comes once they are on the disk."""
        if any(record.kind in WRITTEN_BY_LOG for record in records):
            raise ValueError("an erasure is appended by erase")

        def insert(connection: sqlite3.Connection) -> list[Outcome]:
            return [self._insert(connection, record) for record in records]

        return self._enqueue(insert, len(records))

    def append(self, records: Sequence[Record]) -> list[Outcome]:
        """Append records and wait until they are on the disk."""
        return self.submit(records).result()

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return the first entries after a position, in order, at most `limit`."""
        return self._read(
            lambda connection: _selected(
                connection, "position > ? ORDER BY position LIMIT ?", (after, limit)
            )
        )

    def feedback(self, through: int) -> list[Entry]:
        """Return the feedback up to a position, in order."""
        return self._read(
            lambda connection: _selected(
                connection, "kind = 'feedback' AND position <= ? ORDER BY position", (through,)
            )
        )

    def tail(self, after: int = 0) -> "SqliteTail":
        """Return a reader of what comes after a position; of the thread that asks for it."""
        return SqliteTail(self._path, after)

    def erase(self, user_id: str, received_at: int) -> int:
        """Delete a user's entries, refuse all that is to come, and append an `erasure`."""

        def erase(connection: sqlite3.Connection) -> int:
            deleted = connection.execute(
                "DELETE FROM entries WHERE user_id = ? AND kind != 'erasure'", (user_id,)
            ).rowcount
            connection.execute("INSERT OR IGNORE INTO erased VALUES (?)", (self._hash(user_id),))
            connection.execute(
                "INSERT OR IGNORE INTO entries (kind, key, user_id, received_at, content)"
                " VALUES ('erasure', ?, ?, ?, ?)",
                (user_id, user_id, received_at, b"{}"),
            )
            return deleted

        return self._and_truncate(erase)

    def complete_erasure(self, user_id: str) -> None:
        """Put an `erased` that names nobody in the place of a user's `erasure`."""

        def complete(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT OR IGNORE INTO entries (kind, key, user_id, received_at, content)"
                " SELECT 'erased', ?, '', received_at, content FROM entries"
                " WHERE kind = 'erasure' AND key = ?",
                (self.name_hash(user_id), user_id),
            )
            return connection.execute(
                "DELETE FROM entries WHERE kind = 'erasure' AND key = ?", (user_id,)
            ).rowcount

        self._and_truncate(complete)

    def name_hash(self, user_id: str) -> str:
        """Return the salted hash of a user's name, hexadecimal."""
        return self._hash(user_id).hex()

    def entries_of(self, user_id: str) -> list[Entry]:
        """Return every entry of a user, in order."""
        return self._read(
            lambda connection: _selected(connection, "user_id = ? ORDER BY position", (user_id,))
        )

    def drained(self, drain: str) -> int:
        """Return the position up to which a drain has taken everything, 0 for a new one."""

        def position(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT position FROM drains WHERE name = ?", (drain,))
            found = row.fetchone()
            return 0 if found is None else found[0]

        return self._read(position)

    def mark_drained(self, drain: str, position: int) -> None:
        """Keep how far a drain got.

        Raises:
            ValueError: If it had got further.
        """

        def mark(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "INSERT INTO drains VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE"
                " SET position = ?2 WHERE position <= ?2",
                (drain, position),
            ).rowcount

        if not self._enqueue(mark).result():
            raise ValueError(f"the drain {drain} had got further than {position} already")

    def prune(self, through: int, before: int) -> int:
        """Delete entries of the kinds in `PRUNED`."""

        def prune(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM entries WHERE position <= ? AND received_at < ?"
                f" AND kind IN ({', '.join('?' * len(PRUNED))})",
                (through, before, *PRUNED),
            ).rowcount

        return self._enqueue(prune).result()

    def close(self) -> None:
        """Finish what was submitted, then give back what it holds; safe to repeat."""
        self._writer.close()

    def _enqueue(self, do: Callable[[sqlite3.Connection], _T], weight: int = 1) -> "Future[_T]":
        return self._writer.put(do, weight)

    def _and_truncate(self, do: Callable[[sqlite3.Connection], int]) -> int:
        """Do it, then empty the write-ahead log, in which deleted rows would lie on."""
        done = self._enqueue(do).result()
        with self._turn(), _reported(self._path), _opened(self._path) as connection:
            (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise EventLogError(
                f"what was deleted still lies in {self._path}-wal: a reader held it for {BUSY_S} s"
            )
        return done

    def _insert(self, connection: sqlite3.Connection, record: Record) -> Outcome:
        is_erased = connection.execute(
            "SELECT 1 FROM erased WHERE key = ?", (self._hash(record.user_id),)
        ).fetchone()
        if is_erased:
            return "erased"
        inserted = connection.execute(
            "INSERT OR IGNORE INTO entries (kind, key, user_id, received_at, content)"
            " VALUES (?, ?, ?, ?, ?)",
            (record.kind, record.key, record.user_id, record.received_at, record.content),
        )
        return "added" if inserted.rowcount else "known"

    def _hash(self, user_id: str) -> bytes:
        return hashlib.blake2b(user_id.encode(), key=self._salt, digest_size=16).digest()

    def _read(self, do: Callable[[sqlite3.Connection], _T]) -> _T:
        with _reported(self._path), _opened(self._path) as connection:
            return do(connection)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock file: one process writes at a time."""
        try:
            held = self._path.with_name(self._path.name + ".lock").open("w")
        except OSError as error:
            raise EventLogError(f"cannot write the event log {self._path}: {error}") from error
        with held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _commit(self, group: list[_Work]) -> list[object]:
        with self._turn():
            if self._connection is None:
                self._connection = _connect(self._path)
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                results = [do(connection) for do in group]
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        return results

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()


class SqliteTail:
    """See `features.event_log.records.Tail`."""

    def __init__(self, path: Path, after: int) -> None:
        self._path = path
        self._position = after
        self._version: int | None = None
        with _reported(path):
            self._connection = _connect(path)

    def poll(self) -> list[Entry]:
        """Return what was appended since the last poll."""
        try:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version == self._version:
                return []
            (last,) = self._connection.execute("SELECT max(position) FROM entries").fetchone()
            last = max(self._position, last or 0)
            found = _selected(
                self._connection,
                "position > ? AND position <= ? AND kind != 'exposure' ORDER BY position",
                (self._position, last),
            )
        except sqlite3.Error as error:
            raise EventLogError(f"cannot read the event log {self._path}: {error}") from error
        self._version, self._position = version, last
        return found

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _selected(
    connection: sqlite3.Connection, where: str, values: tuple[object, ...]
) -> list[Entry]:
    rows = connection.execute(f"SELECT {_ENTRY_COLUMNS} FROM entries WHERE {where}", values)
    return [
        Entry(position=p, kind=kind, key=key, user_id=user, received_at=at, content=content)
        for p, kind, key, user, at, content in rows.fetchall()
    ]


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file; transactions are begun and ended by hand."""
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        # What is erased must not lie on in free pages.
        connection.execute("PRAGMA secure_delete=ON")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = _connect(path)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise EventLogError(f"cannot use the event log {path}: {error}") from error


def _prepare(path: Path) -> bytes:
    """Make the tables of a new file, refuse a file of something else; return the file's salt."""
    with _opened(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found != FORMAT and (found or tables):
            raise EventLogError(f"{path} is no event log of format {FORMAT}")
        if not found:
            connection.executescript(
                f"BEGIN IMMEDIATE;{_SCHEMA}"
                f"INSERT INTO settings VALUES ('salt', '{secrets.token_hex(16)}');"
                f"PRAGMA user_version={FORMAT};COMMIT;"
            )
        (salt,) = connection.execute("SELECT value FROM settings WHERE name = 'salt'").fetchone()
        return bytes.fromhex(salt)
