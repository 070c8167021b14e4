"""Side tables: what must change within a day or be forgotten, and so lies outside the bundle.

Written by the jobs, polled by every replica. A table is read at one version at a time; which
version that was is kept, so that a change is seen by comparing numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from features.errors import StoreError
from features.event_log.coverage import covered_position
from features.store import Store
from serving.errors import NothingToServeError

REQUIRED = ("purchase_history", "browse_history", "user_profiles", "quotes")
OPTIONAL = (
    "items",
    "item_profiles",
    "item_aspects",
    "item_satisfaction",
    "item_needs",
    "complaints",
    "user_complaints",
    "item_demotions",
    "log_coverage",
)

IN_STOCK: dict[str, pl.DataType] = {"item_id": pl.String(), "in_stock": pl.Boolean()}
ITEM_ASPECTS: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    "aspect": pl.String(),
    "num_mentions": pl.Int64(),
    "polarity": pl.Float64(),
    "polarity_low": pl.Float64(),
    "polarity_high": pl.Float64(),
}
ITEM_PROFILES: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    **dict.fromkeys(
        ("num_purchases", "num_purchases_30d", "num_views", "num_views_30d", "num_reviews"),
        pl.Int64(),
    ),
    **{
        f"{level}{end}": pl.Float32()
        for level in ("stars_smoothed", "polarity_smoothed", "negative_share")
        for end in ("", "_low", "_high")
    },
    **dict.fromkeys(
        ("stars_mean", "polarity_mean", "polarity_trend", "polarity_drift", "return_rate"),
        pl.Float32(),
    ),
    "purchase_trend": pl.Float32(),
}
ITEM_SATISFACTION: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    **dict.fromkeys(("num_opinions", "num_purchases", "num_returned"), pl.Int64()),
    **dict.fromkeys(
        ("satisfaction", "satisfaction_low", "satisfaction_high", "own_share"), pl.Float64()
    ),
    "is_small": pl.Boolean(),
}
ITEM_NEEDS: dict[str, pl.DataType] = dict.fromkeys(
    ("item_id", "review_id", "user_id", "need", "kind"), pl.String()
)
COMPLAINTS: dict[str, pl.DataType] = {
    **dict.fromkeys(("item_id", "review_id", "user_id", "quote", "aspect"), pl.String()),
    "polarity": pl.Float64(),
}

USER_COMPLAINTS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "aspect": pl.String(),
    "polarity": pl.Float64(),
    "event_time": pl.Datetime("us", "UTC"),
}

ITEM_DEMOTIONS: dict[str, pl.DataType] = {"item_id": pl.String(), "amount": pl.Float64()}

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
        item_profiles: Columns of `ITEM_PROFILES`; empty where there are none.
        item_aspects: Columns of `ITEM_ASPECTS`; empty where there are none.
        item_satisfaction: Columns of `ITEM_SATISFACTION`; empty where there are none.
        item_needs: Columns of `ITEM_NEEDS`, the latest of each item first; empty where there are
            none.
        complaints: Columns of `COMPLAINTS`, the worst of each item first; empty where there are
            none.
        user_complaints: Columns of `USER_COMPLAINTS`; empty where there are none.
        item_demotions: Columns of `ITEM_DEMOTIONS`; empty where there are none.
        covered: Position in the event log up to which the tables know what happened.
        versions: Version of each table, null where it does not exist.
    """

    purchases: pl.DataFrame
    browsing: pl.DataFrame
    profiles: pl.DataFrame
    quotes: pl.DataFrame
    in_stock: pl.DataFrame
    item_profiles: pl.DataFrame
    item_aspects: pl.DataFrame
    item_satisfaction: pl.DataFrame
    item_needs: pl.DataFrame
    complaints: pl.DataFrame
    user_complaints: pl.DataFrame
    item_demotions: pl.DataFrame
    covered: int
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
    # First: what happens before it may then count twice for a moment, and is never missed.
    covered = covered_position(store)
    return SideTables(
        purchases=_read(store, "purchase_history"),
        browsing=_read(store, "browse_history"),
        profiles=_read(store, "user_profiles"),
        quotes=_read(store, "quotes"),
        in_stock=_read_or_empty(store, versions, "items", IN_STOCK),
        item_profiles=_read_or_empty(store, versions, "item_profiles", ITEM_PROFILES),
        item_aspects=_read_or_empty(store, versions, "item_aspects", ITEM_ASPECTS),
        item_satisfaction=_read_or_empty(store, versions, "item_satisfaction", ITEM_SATISFACTION),
        item_needs=_read_or_empty(store, versions, "item_needs", ITEM_NEEDS),
        complaints=_read_or_empty(store, versions, "complaints", COMPLAINTS),
        user_complaints=_read_or_empty(store, versions, "user_complaints", USER_COMPLAINTS),
        item_demotions=_read_or_empty(store, versions, "item_demotions", ITEM_DEMOTIONS),
        covered=covered,
        versions=versions,
    )


def _read(
    store: Store, table: str, schema: Mapping[str, pl.DataType] | None = None
) -> pl.DataFrame:
    try:
        frame = store.scan(table)
        return (frame if schema is None else with_columns_of(frame, schema)).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        # Polars panics, past every `except Exception`, where a file is shorter than it says.
        raise StoreError(
            f"the table {table} in {store.root} cannot be read: {str(error).splitlines()[0]}"
        ) from error


def _read_or_empty(
    store: Store, versions: Versions, table: str, schema: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    if versions[table] is None:
        return pl.DataFrame(schema=dict(schema))
    return _read(store, table, schema)


def with_columns_of(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Return just the columns of a schema, null where an older version wrote none."""
    known = frame.collect_schema()
    return frame.select(
        pl.col(name).cast(dtype) if name in known else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )
