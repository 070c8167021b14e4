"""Rows of what users did, ready for the models: purchases with how they felt, and browsing."""

import polars as pl

from features.profile_state import felt_reviews
from features.visibility import Visible, first_purchases, session_starts

BROWSE_WEIGHTS = {"view": 1.0, "click": 1.0, "wishlist": 2.0, "cart": 3.0}


def purchase_history(visible: Visible, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return visible first purchases with the polarity and stars of the user's own review of them.

    Where a user reviewed an item more than once, the last visible review counts.

    Returns:
        `user_id, item_id, event_time, seq, session_start, polarity, stars`, sorted by user, time,
        seq; polarity and stars are null where there is no visible review. `session_start` is when
        the session of the purchase began, its own time where it has none.
    """
    felt = (
        felt_reviews(visible.reviews.lazy(), signals)
        .sort("event_time", "seq", "review_id")
        .unique(["user_id", "item_id"], keep="last", maintain_order=True)
        .select("user_id", "item_id", "polarity", stars="rating")
    )
    return (
        first_purchases(visible.events)
        .lazy()
        .join(session_starts(visible.events).lazy(), on=["user_id", "session_id"], how="left")
        .select(
            "user_id",
            "item_id",
            "event_time",
            "seq",
            session_start=pl.coalesce("start_time", "event_time"),
        )
        .join(felt, on=["user_id", "item_id"], how="left")
        .sort("user_id", "event_time", "seq")
        .collect()
    )


def browse_log(visible: Visible) -> pl.DataFrame:
    """Return every visible browse event and its weight.

    Returns:
        `user_id, item_id, event_time, seq, strength` (of `BROWSE_WEIGHTS`), sorted by user, time,
        seq.
    """
    return (
        visible.events.lazy()
        .filter(pl.col("event_type").is_in(list(BROWSE_WEIGHTS)))
        .select(
            "user_id",
            "item_id",
            "event_time",
            "seq",
            strength=pl.col("event_type").replace_strict(BROWSE_WEIGHTS, return_dtype=pl.Float64),
        )
        .sort("user_id", "event_time", "seq")
        .collect()
    )


def browse_history(log: pl.DataFrame) -> pl.DataFrame:
    """Return, for each user and item, the last visible browse event and how strong browsing was.

    Returns:
        `user_id, item_id, event_time, seq, strength` (sum of `BROWSE_WEIGHTS`), sorted by user,
        time, seq.
    """
    return (
        log.lazy()
        .group_by("user_id", "item_id", maintain_order=True)
        .agg(pl.col("event_time").last(), pl.col("seq").last(), pl.col("strength").sum())
        .sort("user_id", "event_time", "seq")
        .collect()
    )
