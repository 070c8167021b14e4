"""Purchases of which became known how the buyer felt about them: labels of satisfaction."""

import polars as pl

from features.opinion import JUDGING_SOURCES, NEGATIVE_BELOW
from features.profile_state import felt_reviews

SATISFIED_STARS = 4.0
_PAIR = ["user_id", "item_id"]


def felt_purchases(
    events: pl.LazyFrame, reviews: pl.LazyFrame, items: pl.LazyFrame, signals: pl.LazyFrame
) -> pl.DataFrame:
    """Return the first purchase of each user and item that the user later judged or sent back.

    Satisfied is who gave four stars or more, or, without stars, words above the polarity that
    counts as neutral; nobody is who sent it back.

    Args:
        events: `features.schema.Events`.
        reviews: `sentiment.schema.Reviews`; of those since the purchase that judge the latest
            counts.
        items: `features.schema.Items`.
        signals: Signals of those reviews, of one model version.

    Returns:
        `user_id, item_id, category` (the narrowest, `""` without any), `bought_at`, `told_at` (when
        the last of it was known, at `bought_at` or later), `satisfied` (0 or 1), by `bought_at`.
    """
    kind, time = pl.col("event_type"), pl.col("event_time")
    done = (
        events.filter(kind.is_in(["purchase", "return"]))
        .group_by(_PAIR)
        .agg(
            bought_at=time.filter(kind == "purchase").min(),
            returned_at=time.filter(kind == "return").max(),
        )
        .drop_nulls("bought_at")
    )
    felt = pl.coalesce(
        pl.col("rating") >= SATISFIED_STARS, pl.col("polarity") > -NEGATIVE_BELOW
    ).cast(pl.Int8)
    said = (
        felt_reviews(reviews, signals)
        .filter(pl.col("source").is_in(JUDGING_SOURCES))
        .select(*_PAIR, "event_time", "seq", felt=felt)
        .drop_nulls(["item_id", "felt"])
        .join(done.select(*_PAIR, "bought_at"), on=_PAIR)
        .filter(time >= pl.col("bought_at"))
        .sort("event_time", "seq")
        .group_by(_PAIR, maintain_order=True)
        .agg(said_at=time.last(), felt=pl.col("felt").last())
    )
    category = pl.col("categories").list.last().fill_null("")
    is_returned = pl.col("returned_at") >= pl.col("bought_at")
    return (
        done.join(said, on=_PAIR, how="left")
        .with_columns(returned_at=pl.when(is_returned).then("returned_at"))
        .with_columns(pl.when(pl.col("returned_at").is_null()).then("felt").otherwise(0))
        .drop_nulls("felt")
        .join(items.select("item_id", category=category), on="item_id", how="left")
        .select(
            *_PAIR,
            pl.col("category").fill_null(""),
            "bought_at",
            told_at=pl.max_horizontal("said_at", "returned_at"),
            satisfied=pl.col("felt"),
        )
        .sort("bought_at", *_PAIR)
        .collect()
    )
