"""Which days are looked at, and what a look leaves beside its alerts: its record, and quotes."""

from datetime import datetime, timedelta

import polars as pl

from features.alert_tables import AlertQuotes
from features.store import Store
from jobs.alerts_tables import read_table
from recsys.alerts.detection import Look
from recsys.alerts.opinions import BRAND, CATEGORY, ITEM, day_of

_NUM = {ITEM: "num_items", BRAND: "num_brands", CATEGORY: "num_categories"}


def day_before(moment: datetime) -> int:
    """Return the day, since 1970, of the last moment before one.

    >>> from datetime import UTC
    >>> day_before(datetime(1970, 1, 3, tzinfo=UTC))
    1
    """
    return day_of(moment - timedelta(microseconds=1))


def days_to_look_at(store: Store, last: int, num_days: int) -> list[int]:
    """Return the days up to the last one that have not been looked at, at most so many.

    The last day is always among them.
    """
    known = read_table(store, "alert_looks")["day"].max()
    first = last - num_days + 1
    if isinstance(known, int):
        first = max(first, known + 1)
    return list(range(min(first, last), last + 1))


def write_look(store: Store, look: Look, day: int) -> None:
    """Note that a day was looked at, once."""
    looks = read_table(store, "alert_looks")
    if day in looks["day"]:
        return
    row = {name: look.num_subjects.get(scope, 0) for scope, name in _NUM.items()}
    row |= {"day": day, "num_found": len(look.found)}
    store.append("alert_looks", pl.DataFrame([row], schema=looks.schema))


def write_quotes(store: Store, quotes: list[pl.DataFrame]) -> None:
    """Replace all quotes of alerts, where they differ."""
    columns = AlertQuotes.column_names()
    schema = AlertQuotes.create_empty().schema
    parts = [part.select(columns).cast(dict(schema)) for part in quotes]  # type: ignore[arg-type]
    wanted = pl.concat(parts).unique(["alert_id", "review_id"], keep="last", maintain_order=True)
    known = read_table(store, "alert_quotes")
    if not known.sort(columns).equals(wanted.sort(columns)):
        store.overwrite("alert_quotes", AlertQuotes.validate(wanted))
