"""Refused rows as they are kept: the row, the rule it broke, and where it stands in its source."""

import json
from datetime import datetime

import polars as pl

from features.known_rows import KnownRows
from features.readers.batches import SOURCE_LINE, Problem
from features.readers.ids import stable_ids
from features.store import QUARANTINE, Store
from sentiment.schema import UTC

_SCAN_ROWS = 100_000
QUARANTINE_SCHEMA = pl.Schema(
    {
        "quarantine_id": pl.String(),
        "table": pl.String(),
        "rule": pl.String(),
        "source_file": pl.String(),
        "source_line": pl.Int64(),
        "row": pl.String(),
        "ingested_at": pl.Datetime("us", UTC),
    }
)
"""Columns of `quarantine/<table>`; `quarantine_id` names the row, so that re-reading adds none."""


class QuarantineWriter:
    """Keeps refused rows, each once, however often its file is read.

    Args:
        store: Where the quarantine is.
        table: The table that the rows were meant for.
    """

    def __init__(self, store: Store, table: str) -> None:
        self._store = store
        self._table = QUARANTINE + table
        self._known: KnownRows | None = None

    def accept(self, refused: pl.DataFrame) -> None:
        """Commit those rows that are not kept yet.

        Args:
            refused: Rows of `QUARANTINE_SCHEMA`.
        """
        if refused.is_empty():
            return
        if self._known is None:
            self._known = self._load_known()
        ids = refused["quarantine_id"].hash()
        is_new = self._known.look_up(ids).is_null() & ids.is_first_distinct()
        self._known.add(ids.filter(is_new), ids.filter(is_new))
        new = refused.filter(is_new)
        if not new.is_empty():
            self._store.append(self._table, new)

    def _load_known(self) -> KnownRows:
        known = KnownRows()
        if self._store.exists(self._table):
            scan = self._store.scan(self._table).select("quarantine_id")
            for rows in scan.collect_batches(chunk_size=_SCAN_ROWS):
                ids = rows["quarantine_id"].hash()
                known.add(ids, ids)
        return known


def quarantine_rows(
    table: str,
    bad: pl.DataFrame,
    source_rows: pl.DataFrame | None,
    *,
    source_file: str,
    ingested_at: datetime,
) -> pl.DataFrame:
    """Write refused rows as they are kept.

    Args:
        table: The table that they were meant for.
        bad: `source_line` and `rule`.
        source_rows: Rows as they stand in the source, with `source_line`; None keeps none.
        source_file: The name of the file.
        ingested_at: The time of this run, with a zone.

    Returns:
        Rows of `QUARANTINE_SCHEMA`; `row` is the source row as JSON, without its empty fields.
    """
    if source_rows is None:
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(bad))
        return _quarantined(table, bad["rule"], bad[SOURCE_LINE], nothing, source_file, ingested_at)
    joined = bad.join(source_rows, on=SOURCE_LINE, how="left", maintain_order="left")
    content = joined.drop(SOURCE_LINE, "rule", strict=False)
    rows = [
        json.dumps({k: v for k, v in row.items() if v is not None}, ensure_ascii=False, default=str)
        for row in content.iter_rows(named=True)
    ]
    return _quarantined(
        table,
        bad["rule"],
        bad[SOURCE_LINE],
        pl.Series(rows, dtype=pl.String),
        source_file,
        ingested_at,
    )


def quarantine_problems(
    table: str,
    problems: list[Problem],
    *,
    source_file: str,
    ingested_at: datetime,
    keep_rows: bool = True,
) -> pl.DataFrame:
    """Write lines that are no records as they are kept.

    Args:
        table: The table that the file's records are meant for.
        problems: The lines.
        source_file: The name of the file.
        ingested_at: The time of this run, with a zone.
        keep_rows: Whether what the lines say is kept.

    Returns:
        Rows of `QUARANTINE_SCHEMA`.
    """
    return _quarantined(
        table,
        pl.Series([problem.rule for problem in problems], dtype=pl.String),
        pl.Series([problem.line for problem in problems], dtype=pl.Int64),
        pl.Series([problem.row if keep_rows else None for problem in problems], dtype=pl.String),
        source_file,
        ingested_at,
    )


def _quarantined(
    table: str,
    rules: pl.Series,
    lines: pl.Series,
    rows: pl.Series,
    source_file: str,
    ingested_at: datetime,
) -> pl.DataFrame:
    frame = pl.DataFrame({"rule": rules, "source_line": lines, "row": rows}).with_columns(
        table=pl.lit(table),
        source_file=pl.lit(source_file),
        ingested_at=pl.lit(ingested_at).dt.convert_time_zone(UTC).cast(pl.Datetime("us", UTC)),
    )
    # A compressed copy is the same file.
    bare_name = pl.col("source_file").str.strip_suffix(".gz")
    fields = [bare_name, *(pl.col(name) for name in ("table", "rule", "source_line", "row"))]
    named = frame.with_columns(stable_ids(frame, "quarantine", fields).alias("quarantine_id"))
    return named.select(QUARANTINE_SCHEMA.names())
