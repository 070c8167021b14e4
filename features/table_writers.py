"""Writers that bring checked rows into a table so that reading a file twice changes nothing.

Facts (events, reviews, contacts, splits) never change: the first row under an id stays, another
that says something else is a conflict. Entities (items, users, suppressions) do: a later file
replaces the columns that it brings, and a by-product row only fills gaps.
"""

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from features.contracts import CONTRACTS
from features.known_rows import KnownRows
from features.readers.batches import SEQ, SOURCE_LINE
from features.store import Store

CONFLICTING_DUPLICATE = "conflicting_duplicate"
BUFFER_BYTES = 64 * 1024 * 1024
_SCAN_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a batch of checked rows.

    Args:
        added: Rows under a new id.
        updated: Rows that changed a known one.
        unchanged: Rows that say nothing new.
        conflicts: `source_line` and `rule` of rows that contradict a known one.
    """

    added: int
    updated: int
    unchanged: int
    conflicts: pl.DataFrame


class TableWriter(Protocol):
    """Takes the checked rows of one table."""

    def accept(self, good: pl.DataFrame, given: list[str], *, is_stub: bool) -> Outcome:
        """Sort rows into new, changed, known and contradicting ones, and keep the first two."""
        ...

    def end_file(self) -> None:
        """Commit what is still in memory."""
        ...


class FactWriter:
    """Adds rows that never change, keyed by id; `seq` is no part of what a row says.

    Args:
        store: Where the table is.
        table: Its name.
    """

    def __init__(self, store: Store, table: str) -> None:
        self._store = store
        self._table = table
        self._key = CONTRACTS[table].primary_key()[0]
        self._known: KnownRows | None = None
        self._buffer: list[pl.DataFrame] = []
        self._buffered_bytes = 0

    def accept(self, good: pl.DataFrame, given: list[str], *, is_stub: bool) -> Outcome:
        """Sort rows into new, known and contradicting ones; the new ones are committed later.

        Args:
            good: Checked rows with `source_line`.
            given: Ignored: a fact is whole.
            is_stub: Ignored: a fact stands for itself.

        Returns:
            The counts, and the rows that contradict one under the same id.
        """
        if self._known is None:
            self._known = self._load_known()
        sorted_out = sort_out(good, self._key, self._said(good), self._known)
        new = good.filter(sorted_out["is_new"]).drop(SOURCE_LINE)
        if not new.is_empty():
            self._buffer.append(new)
            self._buffered_bytes += int(new.estimated_size())
        if self._buffered_bytes >= BUFFER_BYTES:
            self._flush()
        return Outcome(
            added=len(new),
            updated=0,
            unchanged=int(sorted_out["is_same"].sum()),
            conflicts=_conflicts(good, sorted_out),
        )

    def end_file(self) -> None:
        """Commit what is still in memory, and join small files where there are many."""
        self._flush()
        self._store.compact(self._table)

    def _flush(self) -> None:
        if self._buffer:
            self._store.append(self._table, pl.concat(self._buffer))
            self._buffer, self._buffered_bytes = [], 0

    def _said(self, rows: pl.DataFrame) -> pl.Series:
        return rows.select(sorted(set(rows.columns) - {SOURCE_LINE, SEQ})).hash_rows()

    def _load_known(self) -> KnownRows:
        known = KnownRows()
        if self._store.exists(self._table):
            scan = self._store.scan(self._table)
            for rows in scan.collect_batches(chunk_size=_SCAN_ROWS):
                known.add(rows[self._key].hash(), self._said(rows))
        return known


class EntityWriter:
    """Adds and changes items or users, keyed by id.

    Args:
        store: Where the table is.
        table: Its name.
    """

    def __init__(self, store: Store, table: str) -> None:
        self._store = store
        self._table = table
        self._key = CONTRACTS[table].primary_key()[0]
        self._in_file = KnownRows()
        self._stubs_seen = KnownRows()

    def accept(self, good: pl.DataFrame, given: list[str], *, is_stub: bool) -> Outcome:
        """Merge rows into the table at once.

        Args:
            good: Checked rows with `source_line`; of stubs one row an id.
            given: The columns that the source has; the others are left as they are.
            is_stub: Whether the rows may only fill what is null or an empty list.

        Returns:
            The counts. A second row of one file that says something else about the same id is a
            conflict: which of the two is right cannot be told.
        """
        said = good.select(sorted(set(good.columns) - {SOURCE_LINE})).hash_rows()
        if is_stub:
            is_known = self._stubs_seen.look_up(said).is_not_null()
            self._stubs_seen.add(said.filter(~is_known), said.filter(~is_known))
            fresh, conflicts = good.filter(~is_known), _no_conflicts()
        else:
            sorted_out = sort_out(good, self._key, said, self._in_file)
            fresh, conflicts = good.filter(sorted_out["is_new"]), _conflicts(good, sorted_out)
        new, changed = self._merge(fresh.drop(SOURCE_LINE), given, is_stub=is_stub)
        added, updated = len(new), len(changed)
        unchanged = len(good) - len(conflicts) - added - updated
        return Outcome(added=added, updated=updated, unchanged=unchanged, conflicts=conflicts)

    def end_file(self) -> None:
        """Forget what the file said, and join small files where there are many."""
        self._in_file = KnownRows()
        self._stubs_seen = KnownRows()
        self._store.compact(self._table)

    def _merge(
        self, fresh: pl.DataFrame, given: list[str], *, is_stub: bool
    ) -> tuple[pl.Series, pl.Series]:
        """Write rows, one an id; return the ids that are new, and those that changed."""
        nobody = fresh[self._key].clear()
        if fresh.is_empty():
            return nobody, nobody
        if not self._store.exists(self._table):
            self._store.append(self._table, fresh)
            return fresh[self._key], nobody
        ids = fresh.lazy().select(self._key)
        old = self._store.scan(self._table).join(ids, on=self._key, how="semi").collect()
        new = fresh.join(old, on=self._key, how="anti")
        merged = merge_entities(old, fresh, self._key, given, is_stub=is_stub)
        changed = merged.filter(merged.hash_rows() != old.select(merged.columns).hash_rows())
        self._store.append(self._table, new)
        self._store.upsert(self._table, changed, [self._key])
        return new[self._key], changed[self._key]


def sort_out(rows: pl.DataFrame, key: str, said: pl.Series, known: KnownRows) -> pl.DataFrame:
    """Tell new rows from known and contradicting ones, and take the new ones in.

    Args:
        rows: Rows with the key column.
        key: The column that names a row.
        said: Hashes of what the rows say.
        known: What is known; it grows by the new rows.

    Returns:
        Columns is_new (first under its id), is_same (says what the first said), parallel to `rows`.
    """
    ids = rows[key].hash()
    table = pl.DataFrame({"id": ids, "said": said, "known": known.look_up(ids)})
    sorted_out = table.select(
        "id",
        "said",
        is_new=pl.col("known").is_null() & pl.col("id").is_first_distinct(),
        reference=pl.coalesce("known", pl.col("said").first().over("id")),
    ).with_columns(is_same=~pl.col("is_new") & (pl.col("said") == pl.col("reference")))
    new = sorted_out.filter("is_new")
    known.add(new["id"], new["said"])
    return sorted_out.select("is_new", "is_same")


def merge_entities(
    old: pl.DataFrame, new: pl.DataFrame, key: str, given: list[str], *, is_stub: bool
) -> pl.DataFrame:
    """Change known rows by what new rows say about them.

    Args:
        old: Known rows, one an id.
        new: New rows with the same columns, one an id.
        key: The column that names a row.
        given: The columns that the new rows really bring.
        is_stub: Whether the new rows may only fill what is null or an empty list.

    Returns:
        One row for each of `old`, in its order.
    """
    joined = old.join(new, on=key, how="left", suffix="_new", maintain_order="left")
    replaced: list[pl.Expr] = []
    for name, dtype in old.schema.items():
        if name == key or name not in given:
            continue
        fresh = pl.col(f"{name}_new")
        if is_stub:
            is_gap = pl.col(name).is_null()
            if isinstance(dtype, pl.List):
                is_gap = is_gap | (pl.col(name).list.len() == 0)
            replaced.append(pl.when(is_gap).then(fresh).otherwise(pl.col(name)).alias(name))
        else:
            replaced.append(fresh.alias(name))
    return joined.with_columns(replaced).select(old.columns)


def gather_stubs(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Gather what many raw rows say in passing about the same things.

    Args:
        rows: Raw rows.
        key: The column that names a thing; rows without it are left out.

    Returns:
        One row an id, in order of appearance, with the first value of each column.
    """
    named = rows.filter(pl.col(key).is_not_null())
    firsts = pl.all().exclude(key).drop_nulls().first()
    return named.group_by(key, maintain_order=True).agg(firsts)


def _conflicts(rows: pl.DataFrame, sorted_out: pl.DataFrame) -> pl.DataFrame:
    contradicts = ~(sorted_out["is_new"] | sorted_out["is_same"])
    return rows.filter(contradicts).select(SOURCE_LINE, rule=pl.lit(CONFLICTING_DUPLICATE))


def _no_conflicts() -> pl.DataFrame:
    return pl.DataFrame(schema={SOURCE_LINE: pl.Int64, "rule": pl.String})
