"""What users went on to do after a time: the labels of outcomes, never to be read as features."""

from datetime import datetime, timedelta

import polars as pl

OUTCOMES = ("purchase", "churn")


def labelled_users(
    events: pl.LazyFrame, *, outcome: str, as_of: datetime, horizon_days: float
) -> pl.DataFrame:
    """Return who was known at a time and what became of them.

    A user is asked about with any event before `as_of`, for `churn` with a purchase. `purchase`:
    they buy within the horizon, `as_of` itself counted. `churn`: they do not.

    Args:
        events: `user_id, event_type, event_time`, at least up to the end of the horizon.
        outcome: One of `OUTCOMES`.
        as_of: What is before it is known, what is not is to be told.
        horizon_days: Length of the horizon, above 0.

    Returns:
        `user_id, label` (0 or 1), sorted.

    Raises:
        ValueError: If the outcome is unknown or the horizon is not above 0.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, not {outcome!r}")
    if not horizon_days > 0:
        raise ValueError(f"horizon_days must be above 0, not {horizon_days}")
    end = as_of + timedelta(days=horizon_days)
    time, bought = pl.col("event_time"), pl.col("event_type") == "purchase"
    buys = (bought & (time >= as_of) & (time < end)).any()
    known = (time < as_of) & bought if outcome == "churn" else time < as_of
    return (
        events.group_by("user_id")
        .agg(known=known.any(), label=~buys if outcome == "churn" else buys)
        .filter("known")
        .select("user_id", pl.col("label").cast(pl.Int8))
        .sort("user_id")
        .collect()
    )
