"""Small expressions over source records that several readers share."""

import polars as pl

from features.readers.batches import SEQ, SOURCE_LINE
from features.readers.ids import canonical_number, stable_ids
from features.readers.times import parse_times

CONTROL_CHARACTERS = "[\x00-\x08\x0b\x0c\x0e-\x1f]"


def pick(frame: pl.DataFrame, *names: str) -> pl.Expr:
    """Take the first of several columns that has a value.

    Args:
        frame: Source records.
        names: Column names, the preferred one first.

    Returns:
        A String expression; null where none has a value.
    """
    there = [pl.col(name) for name in names if name in frame.columns]
    return pl.coalesce(there) if there else pl.lit(None, dtype=pl.String)


def to_cents(price: pl.Expr) -> pl.Expr:
    """Turn an amount such as `1,299.50` or `$5` into hundredths, as text.

    Args:
        price: A String expression.

    Returns:
        Whole hundredths as text; what is no amount stays as it is, for the contract to refuse.
    """
    amount = price.str.replace_all(r"[$£€,\s]", "").cast(pl.Float64, strict=False)
    return pl.coalesce((amount * 100).round().cast(pl.Int64, strict=False).cast(pl.String), price)


def one_category(category: pl.Expr) -> pl.Expr:
    """Make a list of one category; the empty list where it is null.

    Args:
        category: A String expression.

    Returns:
        A List(String) expression.
    """
    return (
        pl.when(category.is_null())
        .then(pl.lit([], pl.List(pl.String)))
        .otherwise(pl.concat_list(category))
    )


def canonical_time(raw: pl.Expr) -> pl.Expr:
    """Write equal times the same way, so that an id ignores how they were written.

    Args:
        raw: A String expression.

    Returns:
        Microseconds since 1970 as text; what is no time stays as it is.
    """
    return pl.coalesce(parse_times(raw).dt.epoch("us").cast(pl.String), raw)


def with_review_ids(reviews: pl.DataFrame) -> pl.DataFrame:
    """Name reviews by who said what about which item, and when.

    Args:
        reviews: Raw review rows with user_id, item_id, event_time, rating, title and text.

    Returns:
        The rows with `review_id`. Votes and flags that change after the fact are not part of it.
    """
    said = [pl.col(name).str.replace_all(CONTROL_CHARACTERS, "") for name in ("title", "text")]
    fields = [
        pl.col("user_id"),
        pl.col("item_id"),
        canonical_time(pl.col("event_time")),
        canonical_number(pl.col("rating")),
        *said,
    ]
    return reviews.with_columns(stable_ids(reviews, "review", fields).alias("review_id"))


def purchases_of(reviews: pl.DataFrame) -> pl.DataFrame:
    """Derive the purchase that each review tells of.

    Args:
        reviews: Raw review rows with `review_id`.

    Returns:
        Raw event rows at the same time and `seq`.
    """
    events = reviews.select(
        SOURCE_LINE, SEQ, "user_id", "item_id", "event_time", event_type=pl.lit("purchase")
    )
    ids = stable_ids(reviews, "purchase", [pl.col("review_id")])
    return events.with_columns(ids.alias("event_id"))
