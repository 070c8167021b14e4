"""Needs and wishes that buyers of an item voice, in their own words."""

import polars as pl

from features.opinion import JUDGING_SOURCES

NEEDS_PER_ITEM = 100


def item_needs(reviews: pl.LazyFrame, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return the last `NEEDS_PER_ITEM` needs voiced of each item.

    Only those of texts that judge an item: what was written to the support is nobody's to read.

    Args:
        reviews: Visible reviews.
        signals: Review signals of one model version.

    Returns:
        `item_id, review_id, user_id, need` (words of the cleaned text), `kind` (of
        `sentiment.needs.NEED_KINDS`), `event_time`; sorted by item, the latest first.
    """
    need = pl.col("needs").struct
    voiced = (
        signals.select("review_id", "needs")
        .explode("needs", keep_nulls=False, empty_as_null=False)
        .select(
            "review_id",
            need=need.field("text"),
            kind=need.field("kind"),
            _start=need.field("start"),
        )
    )
    return (
        reviews.filter(pl.col("source").is_in(JUDGING_SOURCES))
        .select("item_id", "review_id", "user_id", "event_time", "seq")
        .drop_nulls("item_id")
        .join(voiced, on="review_id")
        .sort(
            ["item_id", "event_time", "seq", "review_id", "_start"],
            descending=[False, True, True, False, False],
        )
        .group_by("item_id", maintain_order=True)
        .head(NEEDS_PER_ITEM)
        .select("item_id", "review_id", "user_id", "need", "kind", "event_time")
        .collect()
    )
