"""The tables themselves, as Parquet, CSV or JSON lines: items, users, events, reviews, contacts.

Lists in CSV are separated by `|`. Rows of events, reviews, contacts and suppressions without an id
are named by what they say (a suppression by whom, where and why: a later file may change until
when); without `seq`, the number of the row is taken; a review without `source` is a review.
"""

from collections.abc import Callable

import polars as pl

from features.readers.batches import SEQ, SOURCE_LINE, SOURCE_ROW, Format, TableRows
from features.readers.columns import canonical_time, pick, with_review_ids
from features.readers.ids import stable_ids
from features.schema import Contacts, Events, Items, Suppressions, Users
from sentiment.schema import Reviews


def _own_columns(records: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    kept = records.select(SOURCE_LINE, *(name for name in names if name in records.columns))
    seq = pl.coalesce(pick(records, SEQ), pl.col(SOURCE_ROW).cast(pl.String))
    return kept.with_columns(records.select(seq.alias(SEQ)))


def _item_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    return {"items": TableRows(frame=records.drop(SOURCE_ROW))}


def _user_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    return {"users": TableRows(frame=records.drop(SOURCE_ROW))}


def _event_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    events = _own_columns(records, _EVENTS)
    if "event_id" not in events.columns:
        said = [
            canonical_time(pl.col(name)) if name == "event_time" else pl.col(name)
            for name in _EVENTS
            if name in events.columns and name != SEQ
        ]
        events = events.with_columns(stable_ids(events, "event", said).alias("event_id"))
    return {"events": TableRows(frame=events)}


def _contact_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    return _named_by_content(records, "contacts", "contact_id", _CONTACTS, "contacted_at")


def _suppression_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    told = ("suppression_id", "user_id", "channel", "reason")
    return _named_by_content(records, "suppressions", "suppression_id", told, "until")


def _named_by_content(
    records: pl.DataFrame, table: str, key: str, told: tuple[str, ...], time: str
) -> dict[str, TableRows]:
    """Take rows as they are, and name those of a file without ids by some of what they say."""
    rows = records.drop(SOURCE_ROW)
    if key not in rows.columns:
        said = [
            canonical_time(pl.col(name)) if name == time else pl.col(name)
            for name in told
            if name in rows.columns
        ]
        rows = rows.with_columns(stable_ids(rows, table, said).alias(key))
    return {table: TableRows(frame=rows)}


def _review_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    reviews = _own_columns(records, _REVIEWS)
    if "source" not in reviews.columns:
        reviews = reviews.with_columns(source=pl.lit("review"))
    if "review_id" not in reviews.columns:
        absent = {"item_id", "rating", "title", "text"}.difference(reviews.columns)
        filled = reviews.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
        ids = with_review_ids(filled)["review_id"]
        reviews = reviews.with_columns(ids)
    return {"reviews": TableRows(frame=reviews)}


def _only(names: tuple[str, ...], key: str) -> Callable[[frozenset[str]], bool]:
    """Recognise a file whose columns are the key and others of one table, and no more."""

    def recognises(columns: frozenset[str]) -> bool:
        return key in columns and len(columns) > 1 and columns.issubset(names)

    return recognises


_ITEMS = tuple(Items.column_names())
_USERS = tuple(Users.column_names())
_EVENTS = tuple(Events.column_names())
_REVIEWS = tuple(Reviews.column_names())
_CONTACTS = tuple(Contacts.column_names())
_SUPPRESSIONS = tuple(Suppressions.column_names())

EVENTS = Format(
    name="events",
    title="the events table",
    wanted=(("user_id",), ("event_type",), ("event_time",)),
    also_read=_EVENTS,
    to_tables=_event_tables,
)
REVIEWS = Format(
    name="reviews",
    title="the reviews table",
    wanted=(("user_id",), ("event_time",), ("text", "rating", "title")),
    also_read=_REVIEWS,
    to_tables=_review_tables,
)
USERS = Format(
    name="users",
    title="the users table",
    wanted=(("user_id",),),
    also_read=_USERS,
    to_tables=_user_tables,
    recognises=_only(_USERS, "user_id"),
)
ITEMS = Format(
    name="items",
    title="the items table",
    wanted=(("item_id",),),
    also_read=_ITEMS,
    to_tables=_item_tables,
    recognises=_only(_ITEMS, "item_id"),
)
CONTACTS = Format(
    name="contacts",
    title="the contacts table",
    wanted=(("user_id",), ("channel",), ("contacted_at",)),
    also_read=_CONTACTS,
    to_tables=_contact_tables,
)
SUPPRESSIONS = Format(
    name="suppressions",
    title="the suppressions table",
    wanted=(("user_id",), ("reason",)),
    also_read=_SUPPRESSIONS,
    to_tables=_suppression_tables,
    recognises=_only(_SUPPRESSIONS, "user_id"),
)
