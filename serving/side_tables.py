"""Side tables: what must change within a day or be forgotten, and so lies outside the bundle.

Written by the jobs, polled by every replica. A table is read at one version at a time; which
version that was is kept, so that a change is seen by comparing numbers.
"""

from dataclasses import dataclass

import polars as pl

from features.errors import StoreError
from features.store import Store
from serving.errors import NothingToServeError

REQUIRED = ("purchase_history", "browse_history", "user_profiles", "quotes")
OPTIONAL = ("items",)

Versions = dict[str, int | None]


@dataclass(frozen=True, kw_only=True)
class SideTables:
    """Side tables of one moment.

    Attributes:
        purchases: `user_id, item_id, event_time, seq, polarity, stars`.
        browsing: `user_id, item_id, event_time, seq, strength`.
        profiles: One row a user.
        quotes: `item_id, review_id, user_id, quote, polarity, language`, best first for each item.
        in_stock: `item_id, in_stock` (null: unknown); empty where the store has no items.
        versions: Version of each table, null where it does not exist.
    """

    purchases: pl.DataFrame
    browsing: pl.DataFrame
    profiles: pl.DataFrame
    quotes: pl.DataFrame
    in_stock: pl.DataFrame
    versions: Versions


def table_versions(store: Store) -> Versions:
    """Return the version of every side table, null where a table does not exist.

    Raises:
        StoreError: If a table is there and cannot be read.
    """
    return {table: store.version(table) for table in (*REQUIRED, *OPTIONAL)}


def read_side_tables(store: Store) -> SideTables:
    """Read all side tables.

    Versions are taken first: a commit that falls between them and the read is seen as a change by
    the next poll and read again, never missed.

    Raises:
        NothingToServeError: If a required table does not exist.
        StoreError: If a table is damaged.
    """
    versions = table_versions(store)
    missing = [table for table in REQUIRED if versions[table] is None]
    if missing:
        raise NothingToServeError(
            f"the store {store.root} has no table {', '.join(missing)}: run `sentirec train` and "
            "`sentirec publish` first"
        )
    return SideTables(
        purchases=_read(store, "purchase_history"),
        browsing=_read(store, "browse_history"),
        profiles=_read(store, "user_profiles"),
        quotes=_read(store, "quotes"),
        in_stock=_read_stock(store, versions["items"]),
        versions=versions,
    )


def _read(store: Store, table: str, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
    try:
        frame = store.scan(table)
        return (frame if columns is None else frame.select(columns)).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        # Polars panics, past every `except Exception`, where a file is shorter than it says.
        raise StoreError(
            f"the table {table} in {store.root} cannot be read: {str(error).splitlines()[0]}"
        ) from error


def _read_stock(store: Store, version: int | None) -> pl.DataFrame:
    if version is None:
        return pl.DataFrame(schema={"item_id": pl.String, "in_stock": pl.Boolean})
    return _read(store, "items", ("item_id", "in_stock"))
