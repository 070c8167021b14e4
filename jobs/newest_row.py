"""The moment at which a store ends."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from features.store import Store

_TIMES = {"events": "event_time", "reviews": "event_time", "contacts": "contacted_at"}


def after_last_row(
    store: Store, now: datetime, tables: Sequence[str] = ("events", "reviews")
) -> datetime:
    """Return the first moment after the newest row that is not in the future.

    Args:
        store: Where the tables are.
        now: Rows at or after it are in the future; returned where there is no other row.
        tables: Of `events`, which has to be there, `reviews` and `contacts`. Contacts of a segment
            do not count: deliveries write them by the clock, which is far from the last event of a
            shop that is not fed every minute.

    Raises:
        StoreError: There are no events, or a table is damaged.
    """
    there = [name for name in tables if name == "events" or store.exists(name)]
    times = [
        _rows(store, table)
        .select(pl.col(_TIMES[table]).filter(pl.col(_TIMES[table]) < now).max())
        .collect(engine="streaming")
        .item()
        for table in there
    ]
    newest = max((moment for moment in times if moment is not None), default=None)
    return now if newest is None else newest + timedelta(microseconds=1)


def _rows(store: Store, table: str) -> pl.LazyFrame:
    rows = store.scan(table)
    return rows.filter(pl.col("segment").is_null()) if table == "contacts" else rows
