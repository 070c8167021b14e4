"""Values of users as frames: `user_id`, one column a value, one row a user who has any."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from features.aspect_profiles import AspectConfig
from recsys.errors import SegmentError
from recsys.segments.hints import nearest
from recsys.segments.tables import SegmentTables
from recsys.segments.values import (
    OUTCOMES,
    REVIEW_SOURCES,
    AspectValue,
    ContactsValue,
    EventsValue,
    OutcomeValue,
    ProfileValue,
    ReviewsValue,
    UserValue,
    Value,
    Window,
)

_LEAST_CONFIDENCE = AspectConfig().least_confidence
_COUNTS = ("count", "items", "quantity", "cents", "days", "needs")


@dataclass(frozen=True, kw_only=True)
class ValueFrame:
    """Where a value is read.

    Attributes:
        source: Equal for values that one frame can hold.
        frame: `user_id` and `column`; of a source with several values more columns.
        column: Of the value.
        default: Of users who are not in the frame: 0 of counts and sums, else None for unknown.
        is_counted: Whether the frame is made of many rows a user.
    """

    source: str
    frame: pl.LazyFrame
    column: str
    default: Any = None
    is_counted: bool = True


def value_frame(value: Value, tables: SegmentTables, asked: str) -> ValueFrame:
    """Return where a value is read.

    Args:
        value: What is asked for.
        tables: As of a moment.
        asked: The condition, for messages.

    Raises:
        SegmentError: A table or column is not there.
    """
    match value:
        case ProfileValue():
            return _column_of(tables, "user_profiles", value.profile, asked)
        case UserValue():
            return _of_user(value, tables, asked)
        case OutcomeValue(outcome="satisfaction"):
            return _own(value, _satisfaction(value, tables, asked))
        case OutcomeValue():
            return _column_of(tables, "user_outcomes", OUTCOMES[value.outcome], asked)
        case AspectValue():
            rows = tables.read("user_aspects", asked).filter(
                pl.col("aspect").is_in(aspect_forms(value.aspect))
            )
            return _own(value, rows.group_by("user_id").agg(value=pl.col(value.measure).first()))
        case EventsValue():
            return _own(value, _of_events(value, tables, asked), _default(value.measure))
        case ReviewsValue():
            return _own(value, _of_reviews(value, tables, asked), _default(value.reviews))
        case ContactsValue():
            return _own(value, _of_contacts(value, tables, asked), _default(value.contacts))


def aspect_forms(aspect: str) -> list[str]:
    """Return the names that count as an aspect: what differs by a plural s is one.

    >>> aspect_forms("Tuners")
    ['tuner', 'tuners']
    """
    name = aspect.strip().lower()
    single = name[:-1] if name.endswith("s") and not name.endswith("ss") else name
    return [single, single + "s"]


def _default(measure: str) -> int | None:
    return 0 if measure in _COUNTS else None


def _own(value: Value, frame: pl.LazyFrame, default: int | None = None) -> ValueFrame:
    return ValueFrame(source=repr(value), frame=frame, column="value", default=default)


def _column_of(tables: SegmentTables, table: str, column: str, asked: str) -> ValueFrame:
    frame = tables.read(table, asked)
    names = frame.collect_schema().names()
    if column not in names or column in ("user_id", "as_of", "horizon_days"):
        known = [name for name in names if name not in ("user_id", "as_of", "horizon_days")]
        raise SegmentError(
            f"{asked}: {table} has no column {column}; it has: {', '.join(known)}"
            f"{nearest(column, known)}"
        )
    return ValueFrame(source=table, frame=frame, column=column, is_counted=False)


def _of_user(value: UserValue, tables: SegmentTables, asked: str) -> ValueFrame:
    since = (pl.lit(tables.as_of) - pl.col("signup_at")).dt.total_microseconds() / 86_400e6
    frame = tables.read("users", asked).select(
        "user_id", "country", "language", signup_days=pl.when(since > 0).then(since)
    )
    return ValueFrame(source="users", frame=frame, column=value.user, is_counted=False)


def _satisfaction(value: OutcomeValue, tables: SegmentTables, asked: str) -> pl.LazyFrame:
    rows = tables.read("category_satisfaction", asked)
    if value.category is not None:
        rows = rows.filter(pl.col("category") == value.category)
    return rows.group_by("user_id").agg(value=pl.col("satisfaction_probability").max())


def _of_events(value: EventsValue, tables: SegmentTables, asked: str) -> pl.LazyFrame:
    rows = tables.rows("events", value, asked)
    rows = rows.filter(pl.col("event_type").is_in(value.events))
    if value.since_review:
        rows = rows.join(_last_words(tables, asked), on="user_id", how="left")
        rows = rows.filter(pl.col("_said").is_null() | (pl.col("event_time") > pl.col("_said")))
    if value.measure == "cents":
        prices = tables.read("items", asked).select("item_id", list_price_cents="price_cents")
        rows = rows.join(prices, on="item_id", how="left")
    time = pl.col("event_time")
    quantity = pl.col("quantity").fill_null(1).cast(pl.Int64)
    measures: dict[str, Callable[[], pl.Expr]] = {
        "count": lambda: pl.len().cast(pl.Int64),
        "items": lambda: pl.col("item_id").drop_nulls().n_unique().cast(pl.Int64),
        "quantity": quantity.sum,
        "cents": (pl.coalesce("price_cents", pl.col("^list_price_cents$")) * quantity).sum,
        "days": lambda: time.dt.date().n_unique().cast(pl.Int64),
        "days_since_last": lambda: _days_since(time.max(), tables.as_of),
        "days_since_first": lambda: _days_since(time.min(), tables.as_of),
    }
    return rows.group_by("user_id").agg(value=measures[value.measure]())


def _last_words(tables: SegmentTables, asked: str) -> pl.LazyFrame:
    """Return `user_id, _said`: when each user last wrote words about a thing."""
    signals = tables.read("signals", asked).filter(pl.col("embedding").is_not_null())
    reviews = tables.read("reviews", asked).filter(pl.col("source").is_in(REVIEW_SOURCES))
    written = reviews.join(signals.select("review_id"), on="review_id", how="semi")
    return written.group_by("user_id").agg(_said=pl.col("event_time").max())


def _of_reviews(value: ReviewsValue, tables: SegmentTables, asked: str) -> pl.LazyFrame:
    rows = tables.rows("reviews", value, asked).filter(pl.col("source").is_in(value.source))
    rows = rows.select("review_id", "user_id", "rating", "event_time", "seq")
    if value.aspect is not None:
        mentions = _mentions(tables.read("signals", asked), value.aspect)
        rows = rows.join(mentions, on="review_id")
    elif value.reviews not in ("count", "stars", "days_since_last"):
        rows = rows.join(_felt(tables.read("signals", asked), value), on="review_id")
    if value.reviews == "count":
        return rows.group_by("user_id").agg(value=pl.len().cast(pl.Int64))
    if value.reviews == "days_since_last":
        since = _days_since(pl.col("event_time").max(), tables.as_of)
        return rows.group_by("user_id").agg(value=since)
    felt = pl.col("rating" if value.reviews == "stars" else "felt").cast(pl.Float64)
    if value.reviews == "needs":
        return rows.group_by("user_id").agg(value=felt.sum())
    known = rows.with_columns(felt=felt).filter(pl.col("felt").is_not_null())
    how = {
        "mean": pl.col("felt").mean(),
        "min": pl.col("felt").min(),
        "max": pl.col("felt").max(),
        "last": pl.col("felt").sort_by("event_time", "seq").last(),
    }
    return known.group_by("user_id").agg(value=how[value.how])


def _mentions(signals: pl.LazyFrame, aspect: str) -> pl.LazyFrame:
    """Return `review_id, felt`: the mean polarity of what each review says of an aspect."""
    said = pl.col("aspects").struct
    return (
        signals.select("review_id", "aspects")
        .explode("aspects", keep_nulls=False, empty_as_null=False)
        .filter(
            (said.field("confidence") >= _LEAST_CONFIDENCE)
            & said.field("aspect").is_in(aspect_forms(aspect))
        )
        .group_by("review_id")
        .agg(felt=said.field("polarity").cast(pl.Float64).mean())
    )


def _felt(signals: pl.LazyFrame, value: ReviewsValue) -> pl.LazyFrame:
    """Return `review_id, felt` of texts with words: a bare star says nothing in words."""
    if value.reviews == "needs":
        wishes = pl.col("needs")
        if value.need is not None:
            is_kind = pl.element().struct.field("kind") == value.need
            wishes = wishes.list.filter(is_kind)
        return signals.select("review_id", felt=wishes.list.len())
    felt = (
        pl.col("emotions").struct.field(str(value.emotion))
        if value.reviews == "emotion"
        else pl.col(value.reviews)
    )
    return signals.filter(pl.col("embedding").is_not_null()).select("review_id", felt=felt)


def _of_contacts(value: ContactsValue, tables: SegmentTables, asked: str) -> pl.LazyFrame:
    """Nobody was written to where there is no table of contacts."""
    if "contacts" not in tables.frames:
        return pl.LazyFrame(schema={"user_id": pl.String, "value": pl.Int64})
    window = Window(last_days=value.last_days)
    rows = tables.rows("contacts", window, asked)
    if value.channel is not None:
        named = pl.col("channel").str.strip_chars().str.to_lowercase()
        rows = rows.filter(named.is_in([name.strip().lower() for name in value.channel]))
    if value.segment is not None:
        rows = rows.filter(pl.col("segment").is_in(value.segment))
    measure = (
        pl.len().cast(pl.Int64)
        if value.contacts == "count"
        else _days_since(pl.col("contacted_at").max(), tables.as_of)
    )
    return rows.group_by("user_id").agg(value=measure)


def _days_since(moment: pl.Expr, as_of: datetime) -> pl.Expr:
    return (pl.lit(as_of) - moment).dt.total_microseconds() / 86_400e6
