"""Ingest: source files of any known format into the tables of a store."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from features.contracts import CONTRACTS, check
from features.errors import InputError
from features.personal import SealedUserWriter
from features.pseudonyms import Pseudonyms, begin
from features.quarantine import QuarantineWriter, quarantine_problems, quarantine_rows
from features.readers import (
    SOURCE_LINE,
    SOURCE_ROW,
    Batch,
    ByteSource,
    Records,
    TableRows,
    detect,
    read_batches,
)
from features.store import Store
from features.table_writers import (
    EntityWriter,
    FactWriter,
    TableWriter,
    gather_stubs,
)

_ENTITIES = ("items", "users", "suppressions")
Progress = Callable[[Path, int], None]
"""Called with a file and the number of its bytes that have just been read."""


@dataclass(kw_only=True)
class TableCounts:
    """What became of the rows of one table: read is the sum of all the others.

    Args:
        read: Rows that the files brought.
        added: Rows under a new id.
        updated: Rows that changed a known item or user.
        unchanged: Rows that were known already.
        quarantined: Refused rows by the rule that they broke.
        erased: Rows of people who were erased; nothing is kept of them.
    """

    read: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    erased: int = 0

    def refuse(self, rules: pl.Series) -> None:
        """Count refused rows."""
        for rule, count in rules.value_counts().iter_rows():
            self.quarantined[rule] = self.quarantined.get(rule, 0) + count


@dataclass(kw_only=True)
class FileReport:
    """What became of one file.

    Args:
        path: The file.
        format: The format it was read as; None where that could not be told.
        records: Records and broken lines read.
        error: Why nothing, or only the part before a damage, was read; None where all was well.
    """

    path: Path
    format: str | None = None
    records: int = 0
    error: str | None = None


@dataclass(kw_only=True)
class IngestReport:
    """What an ingest did.

    Args:
        files: One entry a file, in the order given.
        tables: Counts by table.
    """

    files: list[FileReport] = field(default_factory=list)
    tables: dict[str, TableCounts] = field(default_factory=dict)

    @property
    def errors(self) -> list[str]:
        """What went wrong, file by file."""
        return [file.error for file in self.files if file.error is not None]

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON types."""
        return {
            "files": [{**vars(file), "path": str(file.path)} for file in self.files],
            "tables": {name: vars(counts) for name, counts in self.tables.items()},
        }


def joined_reports(first: IngestReport, second: IngestReport) -> IngestReport:
    """Return both reports as one."""
    tables: dict[str, TableCounts] = {}
    for report in (first, second):
        for name, counts in report.tables.items():
            known = tables.setdefault(name, TableCounts())
            for field_name in ("read", "added", "updated", "unchanged", "erased"):
                total = getattr(known, field_name) + getattr(counts, field_name)
                setattr(known, field_name, total)
            for rule, count in counts.quarantined.items():
                known.quarantined[rule] = known.quarantined.get(rule, 0) + count
    return IngestReport(files=first.files + second.files, tables=tables)


def ingest(
    store: Store,
    files: Sequence[Path],
    *,
    format: str | None = None,
    now: datetime,
    pseudonyms: Pseudonyms | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Read files into the tables of a store; reading one again changes nothing.

    A file that cannot be read, or is damaged from some place on, does not keep the others from
    being read: its error is in the report.

    Args:
        store: Where the tables are.
        files: Plain or gzip CSV and JSON lines, or Parquet.
        format: The format of all of them; None to tell it from each file.
        now: The time of this run, with a zone; written to quarantined rows.
        pseudonyms: Take the place of ids of people, personal fields are sealed and refused rows are
            kept without their content; None keeps plain ids.
        progress: Told about bytes as they are read.

    Returns:
        Counts by table, and what was wrong with which file.

    Raises:
        StoreError: The store cannot be written, or holds plain ids where pseudonyms are wanted, or
            pseudonyms of another key or without one.
    """
    report = IngestReport()
    with ExitStack() as held:
        run = IngestRun(store, report.tables, now, pseudonyms, held)
        for path in files:
            entry = FileReport(path=path)
            report.files.append(entry)
            try:
                run.read_file(entry, format, progress)
            except InputError as error:
                entry.error = str(error)
    return report


class IngestRun:
    """The writers and counts of one ingest.

    Args:
        store: Where the tables are.
        tables: Filled with counts.
        now: The time of this run.
        pseudonyms: Of the store.
        held: What is to be given back at the end, such as the lock of the store.
        is_named: Whether the rows bear pseudonyms already where the store does.
    """

    def __init__(
        self,
        store: Store,
        tables: dict[str, TableCounts],
        now: datetime,
        pseudonyms: Pseudonyms | None,
        held: ExitStack,
        *,
        is_named: bool = False,
    ) -> None:
        self._is_named = is_named
        self._store = store
        self._pseudonyms = pseudonyms
        self._tables = tables
        self._now = now
        self._held = held
        self._is_locked = False
        self._writers: dict[str, TableWriter] = {}
        self._quarantines: dict[str, QuarantineWriter] = {}
        self._tombstones = store.tombstones()

    def read_file(self, entry: FileReport, format: str | None, progress: Progress | None) -> None:
        """Read one file; what was read before a damage is kept."""

        def on_bytes(count: int) -> None:
            if progress is not None:
                progress(entry.path, count)

        with ByteSource(entry.path, on_bytes) as source:
            detected = detect(source, format)
            entry.format = detected.format.name
            self._lock()
            try:
                for batch in read_batches(source, detected, on_bytes):
                    entry.records += len(batch.records.frame) + len(batch.records.problems)
                    self._take(batch, entry.path.name)
            except InputError as error:
                entry.error = f"{error} ({entry.records:,} records were read)"
            self.end_file()

    def take_rows(self, table: str, frame: pl.DataFrame, *, source: str) -> None:
        """Take rows that did not come from a file; `end_file` commits them.

        Args:
            table: Which table they are of.
            frame: Its columns, typed or as text, and `source_line`.
            source: Kept with rows that are refused.
        """
        self._lock()
        as_read = frame.with_columns(pl.lit(0, pl.Int64).alias(SOURCE_ROW))
        records = Records(frame=as_read, problems=[])
        self._take(Batch(records=records, tables={table: TableRows(frame=frame)}), source)

    def end_file(self) -> None:
        """Commit what is still in memory."""
        for writer in self._writers.values():
            writer.end_file()

    def _lock(self) -> None:
        """Lock the store once there is something to write, so that a bad file makes no folder."""
        if not self._is_locked:
            self._held.enter_context(self._store.lock("ingest"))
            begin(self._store, self._pseudonyms)
            self._is_locked = True

    def _take(self, batch: Batch, source_file: str) -> None:
        refused_lines = pl.Series(dtype=pl.Int64)
        for number, (table, rows) in enumerate(batch.tables.items()):
            is_primary = number == 0
            frame = rows.frame
            if is_primary and batch.records.problems:
                self._take_problems(table, batch, source_file)
            if not is_primary:
                frame = frame.filter(~pl.col(SOURCE_LINE).is_in(refused_lines.implode()))
            if rows.is_stub:
                frame = gather_stubs(frame, CONTRACTS[table].primary_key()[0])
            if frame.is_empty():
                continue
            frame = self._without_erased(table, frame)
            checked = check(table, frame)
            given = [name for name in frame.columns if name in CONTRACTS[table].column_names()]
            # Users are named by their writer, which seals what else is personal.
            good = checked.good if table == "users" else self._named(checked.good)
            outcome = self._writer(table).accept(good, given, is_stub=rows.is_stub)
            bad = pl.concat([checked.bad, outcome.conflicts])
            counts = self._counts(table)
            counts.read += len(frame)
            counts.added += outcome.added
            counts.updated += outcome.updated
            counts.unchanged += outcome.unchanged
            counts.refuse(bad["rule"])
            kept = quarantine_rows(
                table,
                bad,
                batch.records.frame.drop(SOURCE_ROW) if self._pseudonyms is None else None,
                source_file=source_file,
                ingested_at=self._now,
            )
            self._quarantine(table).accept(kept)
            if is_primary:
                refused_lines = bad[SOURCE_LINE]

    def _without_erased(self, table: str, frame: pl.DataFrame) -> pl.DataFrame:
        erased = self._tombstones.marked(self._named(frame))
        count = int(erased.sum())
        if not count:
            return frame
        counts = self._counts(table)
        counts.read += count
        counts.erased += count
        return frame.filter(~erased)

    def _take_problems(self, table: str, batch: Batch, source_file: str) -> None:
        kept = quarantine_problems(
            table,
            batch.records.problems,
            source_file=source_file,
            ingested_at=self._now,
            keep_rows=self._pseudonyms is None,
        )
        counts = self._counts(table)
        counts.read += len(kept)
        counts.refuse(kept["rule"])
        self._quarantine(table).accept(kept)

    def _counts(self, table: str) -> TableCounts:
        return self._tables.setdefault(table, TableCounts())

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        is_named = self._is_named or self._pseudonyms is None
        return frame if is_named else self._pseudonyms.named(frame)  # type: ignore[union-attr]

    def _writer(self, table: str) -> TableWriter:
        if table == "users" and self._pseudonyms is not None and table not in self._writers:
            self._writers[table] = SealedUserWriter(self._store, self._pseudonyms)
        if table not in self._writers:
            kind = EntityWriter if table in _ENTITIES else FactWriter
            self._writers[table] = kind(self._store, table)
        return self._writers[table]

    def _quarantine(self, table: str) -> QuarantineWriter:
        if table not in self._quarantines:
            self._quarantines[table] = QuarantineWriter(self._store, table)
        return self._quarantines[table]
