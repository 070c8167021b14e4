"""The store: Delta Lake tables in a folder, or under an s3:// or gs:// address.

Tables lie in `<root>/tables/<name>`, rows that broke a contract in `<root>/quarantine/<name>`. A
commit is acknowledged only after its bytes are on the disk: deltalake itself never calls fsync.
Rows of erased users (see `features.erasure`) are dropped from whatever is written, by whomever.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from features.durability import added_since, damaged_files, drop_log_before, sync_commits
from features.errors import StoreError
from features.schema import TABLES
from features.tombstones import ERASED, ERASED_SCHEMA, Tombstones

QUARANTINE = "quarantine/"
TARGET_FILE_BYTES = 128 * 1024 * 1024
COMPACT_AFTER_FILES = 8
_COMMIT_ATTEMPTS = 5
_WRITE_LOCK = "write"
_MADE_BY = {
    "review_signals": "score",
    "user_profiles": "profiles",
    "item_profiles": "profiles",
    "user_affinities": "profiles",
    "user_outcomes": "outcomes",
    "category_satisfaction": "outcomes",
    "repurchases": "repurchases",
    "user_aspects": "profiles",
    "item_aspects": "profiles",
    "item_satisfaction": "profiles",
    "item_needs": "profiles",
    "user_vectors": "profiles",
    "item_vectors": "profiles",
    "purchase_history": "profiles",
    "browse_history": "profiles",
    "quotes": "profiles",
    "complaints": "profiles",
    "user_complaints": "profiles",
    "item_texts": "score",
    "item_demotions": "alerts detect",
}
_WRITER = WriterProperties(compression="ZSTD", compression_level=3, max_row_group_size=256 * 1024)


class Store:
    """The tables of one shop, and the local files beside them.

    Args:
        root: A folder (made by the first write), or an s3:// or gs:// address.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self.is_local = "://" not in self.root

    def __repr__(self) -> str:
        """Name the root."""
        return f"Store({self.root!r})"

    def path(self, *parts: str) -> Path:
        """Name a local companion of the tables: a bundle, a model, a report.

        Args:
            parts: Path segments below the root.

        Returns:
            The path; neither it nor its parents are made.

        Raises:
            StoreError: The store is an object-store address, which has no local files.
        """
        if not self.is_local:
            raise StoreError(f"{self.root} has no local files: give a store that is a folder")
        return Path(self.root, *parts)

    def exists(self, table: str) -> bool:
        """Tell whether a table has been written.

        Args:
            table: A table name, or `quarantine/<name>`.

        Returns:
            True where the table has at least one commit.
        """
        try:
            return DeltaTable.is_deltatable(self._address(table))
        except (DeltaError, OSError) as error:
            raise StoreError(f"cannot look for {table} in {self.root}: {error}") from error

    def version(self, table: str) -> int | None:
        """Give the number of a table's newest commit.

        Args:
            table: A table name, or `quarantine/<name>`.

        Returns:
            The version, counted from 0; None where the table does not exist.

        Raises:
            StoreError: The table is there and cannot be read.
        """
        opened = self._open(table)
        return None if opened is None else opened.version()

    def scan(self, table: str) -> pl.LazyFrame:
        """Read a table lazily, with exactly the types of its contract.

        Args:
            table: A table name, or `quarantine/<name>`.

        Returns:
            The newest version; `Array` columns, which Delta keeps as lists, are arrays again.

        Raises:
            StoreError: The table does not exist; the message names the command that makes it. Or a
                file of it is missing or was cut.
        """
        opened = self._open(table)
        if opened is None:
            command = _MADE_BY.get(table, "ingest FILE")
            raise StoreError(
                f"the store {self.root} has no table {table}: run `sentirec {command}` first"
            )
        if self.is_local and (damage := damaged_files(Path(self._address(table)), opened)):
            raise StoreError(f"the table {table} is damaged: {'; '.join(damage)}")
        return _typed(table, pl.scan_delta(opened))

    def scan_added(self, table: str, since: int) -> pl.LazyFrame | None:
        """Read the rows that commits after a version added to a table of a local store.

        Args:
            table: A table name.
            since: The version whose rows are known, -1 for none.

        Returns:
            The rows; None where that cannot be told: rows were changed or deleted since, or the log
            does not reach back that far.

        Raises:
            StoreError: The table does not exist, or is damaged.
        """
        whole = self.scan(table)
        folder = self.path("tables", table)
        files = added_since(folder, since, self.version(table) or 0)
        if files is None:
            return None
        if not files:
            return whole.clear()
        return _typed(table, pl.scan_parquet(files)).select(whole.collect_schema().names())

    def fits(self, table: str) -> bool:
        """Tell whether the columns of a table are those of its contract, or there is no table.

        An older version of this package may have written others.

        Raises:
            StoreError: The table is damaged.
        """
        opened = self._open(table)
        if opened is None:
            return True
        wanted = _storable(table, TABLES[table].create_empty()).schema
        return dict(pl.scan_delta(opened).collect_schema()) == dict(wanted)

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows in one commit; nobody ever sees a part of them.

        Args:
            table: A table name, or `quarantine/<name>`.
            frame: The rows; nothing is committed where there are none and the table exists.

        Raises:
            StoreError: The commit failed, or the columns differ from those of the table.
        """
        with self._unless_erased(table, frame) as kept:
            if not (kept.is_empty() and self.exists(table)):
                self._write(table, kept, mode="append")

    def overwrite(self, table: str, frame: pl.DataFrame) -> None:
        """Replace all rows in one commit; readers see the old rows or the new ones.

        Args:
            table: A table name, or `quarantine/<name>`.
            frame: The new content; its columns may differ from the old ones.

        Raises:
            StoreError: The commit failed.
        """
        with self._unless_erased(table, frame) as kept:
            self._write(table, kept, mode="overwrite", schema_mode="overwrite")

    def upsert(self, table: str, frame: pl.DataFrame, key: list[str]) -> None:
        """Replace the rows whose key is there and add the others, in one commit.

        Args:
            table: A table name, or `quarantine/<name>`.
            frame: The rows, with every column of the table and no key twice.
            key: The columns that name a row; none of their values is null.

        Raises:
            ValueError: A key occurs twice in `frame`.
            StoreError: The commit failed.
        """
        if frame.select(pl.struct(key).is_duplicated().any()).item():
            raise ValueError(f"upsert into {table}: a key {key} occurs twice in the new rows")
        if not self.exists(table):
            self.append(table, frame)
            return
        predicate = " AND ".join(f"old.`{name}` = new.`{name}`" for name in key)
        with self._unless_erased(table, frame) as kept:

            def merge() -> None:
                DeltaTable(self._address(table)).merge(
                    _storable(table, kept),
                    predicate=predicate,
                    source_alias="new",
                    target_alias="old",
                    writer_properties=_WRITER,
                ).when_matched_update_all().when_not_matched_insert_all().execute()

            if not kept.is_empty():
                self._commit(table, merge)

    def compact(self, table: str) -> None:
        """Join a table's small files once there are many, and drop files unused for a week.

        Args:
            table: A table name, or `quarantine/<name>`; nothing happens where it does not exist.

        Raises:
            StoreError: The commit failed.
        """
        opened = self._open(table)
        if opened is None or len(opened.file_uris()) <= COMPACT_AFTER_FILES:
            return

        def compact() -> None:
            fresh = DeltaTable(self._address(table))
            fresh.optimize.compact(target_size=TARGET_FILE_BYTES, writer_properties=_WRITER)
            fresh.vacuum(dry_run=False)

        with self.lock(_WRITE_LOCK):
            self._commit(table, compact)

    def names(self) -> list[str]:
        """Name all tables of a local store, those of the quarantine among them, sorted."""
        found = [
            f"{prefix}{folder.name}"
            for prefix, parent in (("", "tables"), (QUARANTINE, "quarantine"))
            for folder in self.path(parent).glob("*")
        ]
        return sorted(name for name in found if self.exists(name))

    def tombstones(self) -> Tombstones:
        """Read which ids were erased."""
        if not self.exists(ERASED):
            return Tombstones.of(pl.DataFrame(schema=ERASED_SCHEMA))
        return Tombstones.of(self.scan(ERASED).collect())

    def delete(self, table: str, column: str, values: list[str]) -> int:
        """Delete the rows with some values, in one commit; older versions hold them still.

        Args:
            table: A table name, or `quarantine/<name>`.
            column: Of texts.
            values: Those to be deleted.

        Returns:
            How many rows there were.

        Raises:
            StoreError: The commit failed.
        """
        if not values:
            return 0
        quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        deleted = 0

        def delete() -> None:
            nonlocal deleted
            done = DeltaTable(self._address(table)).delete(f"`{column}` IN ({quoted})")
            deleted = int(done["num_deleted_rows"])

        with self.lock(_WRITE_LOCK):
            self._commit(table, delete)
        return deleted

    def forget_history(self, table: str) -> None:
        """Remove every older version of a table of a local store, and what its log said of them.

        Whoever is reading an older version may fail and has to read again.

        Args:
            table: A table name, or `quarantine/<name>`.

        Raises:
            StoreError: The store is no folder, or the commit failed.
        """
        self.path()

        # Files that another writer is about to commit look unused: nobody else may be writing.
        def forget() -> None:
            opened = DeltaTable(self._address(table))
            opened.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
            opened = DeltaTable(self._address(table))
            opened.create_checkpoint()
            drop_log_before(Path(self._address(table)), opened.version())

        with self.lock(_WRITE_LOCK):
            self._commit(table, forget)

    @contextmanager
    def _unless_erased(self, table: str, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows that may be written; until it ends nobody is erased."""
        with self.lock(_WRITE_LOCK):
            may_hold_ids = table != ERASED and not frame.is_empty() and self.exists(ERASED)
            yield frame.filter(~self.tombstones().marked(frame)) if may_hold_ids else frame

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a store-wide lock: one process at a time, released even where the process dies.

        Args:
            name: What is locked, such as `ingest`. A store at an s3:// or gs:// address has no
                locks: there, one writer at a time is the caller's care.

        Yields:
            None, once no other process holds the lock.

        Raises:
            StoreError: The folder cannot be written.
        """
        if not self.is_local:
            yield
            return
        folder = self.path()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = (folder / f".{name}.lock").open("w")
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {self.root}: {error.strerror or error}"
            ) from error
        with held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _address(self, table: str) -> str:
        place = table if table.startswith(QUARANTINE) else f"tables/{table}"
        return f"{self.root.rstrip('/')}/{place}"

    def _open(self, table: str) -> DeltaTable | None:
        if not self.exists(table):
            return None
        try:
            return DeltaTable(self._address(table))
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise StoreError(f"the table {table} in {self.root} is damaged: {error}") from error

    def _write(self, table: str, frame: pl.DataFrame, **options: Any) -> None:
        def write() -> None:
            if self.is_local:
                Path(self._address(table)).mkdir(parents=True, exist_ok=True)
            write_deltalake(
                self._address(table),
                _storable(table, frame),
                target_file_size=TARGET_FILE_BYTES,
                writer_properties=_WRITER,
                **options,
            )

        self._commit(table, write)

    def _commit(self, table: str, write: Any) -> None:
        before = self.version(table)
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            try:
                write()
                break
            except CommitFailedError as error:
                if attempt == _COMMIT_ATTEMPTS:
                    raise StoreError(
                        f"{table} in {self.root}: {attempt} commits in a row lost against another "
                        f"writer ({error}): end the other writer, then run this again"
                    ) from error
            except (DeltaError, OSError) as error:
                # Two first writers race: the loser finds the table there and appends to it.
                lost_race = "already exists" in str(error) and attempt < _COMMIT_ATTEMPTS
                if not lost_race:
                    raise StoreError(f"cannot write {table} to {self.root}: {error}") from error
        if self.is_local:
            after = self.version(table)
            sync_commits(Path(self._address(table)), before, -1 if after is None else after)


def _typed(table: str, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Give columns exactly the types of the table's contract, if it has one."""
    if table not in TABLES:
        return frame
    stored = frame.collect_schema()
    wanted = TABLES[table].create_empty().schema
    casts = [
        pl.col(name).cast(dtype)
        for name, dtype in wanted.items()
        if name in stored and stored[name] != dtype
    ]
    return frame.with_columns(casts) if casts else frame


def _storable(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Put columns in the order of the contract, and arrays into the lists that Delta knows."""
    if table in TABLES:
        wanted = TABLES[table].create_empty().schema
        if set(frame.columns) != set(wanted):
            raise StoreError(
                f"{table} wants the columns {sorted(wanted)} and got {sorted(frame.columns)}"
            )
        frame = frame.select(pl.col(name).cast(dtype) for name, dtype in wanted.items())
    arrays = [
        pl.col(name).cast(pl.List(dtype.inner))
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Array)
    ]
    return frame.with_columns(arrays) if arrays else frame
