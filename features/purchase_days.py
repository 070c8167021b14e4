"""How often each customer came back, and what they spent: a day with purchases is one purchase."""

from datetime import datetime

import polars as pl

from features.behaviour import SPEND


def purchase_days(priced_events: pl.LazyFrame, *, as_of: datetime) -> pl.DataFrame:
    """Return one row a user who bought before `as_of`.

    Args:
        priced_events: See `features.profile_state.priced_events`.
        as_of: Until when; UTC days are counted, its own up to it.

    Returns:
        `user_id`; `num_repeats`, purchase days after the first; `last_repeat_days` from the first
        to the last; `age_days` from the first to that of `as_of`; `mean_repeat_cents`, the mean
        spend of a repeat, null without any or where no price is known. Sorted by user.
    """
    day = pl.col("day")
    days = (
        priced_events.filter((pl.col("event_type") == "purchase") & (pl.col("event_time") < as_of))
        .group_by("user_id", day=pl.col("event_time").dt.date())
        .agg(
            spend=SPEND.value.sum(),
            is_priced=SPEND.value.is_not_null().any(),
        )
        .sort("user_id", "day")
    )
    repeats = day > day.first()
    spend = pl.col("spend").filter(repeats & pl.col("is_priced"))
    return (
        days.group_by("user_id", maintain_order=True)
        .agg(
            num_repeats=pl.len().cast(pl.Int64) - 1,
            last_repeat_days=(day.last() - day.first()).dt.total_days(),
            age_days=(pl.lit(as_of.date()) - day.first()).dt.total_days(),
            mean_repeat_cents=spend.mean(),
        )
        .collect()
    )
