"""All that profiles are read from: sums that know no `as_of` and merge in any order.

States of disjoint sets of rows put together are the state of all rows; so new rows are summed up
alone, and the rows that are known already are not read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import polars as pl

from features import behaviour, opinion
from features.affinity import active_hours, languages_used, summed_weights, turned_to
from features.day_state import day_state, merged

_PAIR = ("user_id", "item_id")


@dataclass(frozen=True, kw_only=True)
class ProfileState:
    """What is kept of events and reviews.

    Attributes:
        user_days: Measures of `features.behaviour` by user and day.
        item_days: The same by item and day.
        user_said: Measures of `features.opinion` by user and day.
        item_said: The same by item and day, of texts that judge alone.
        ratings: `user_id, item_id, num, stars`: how many ratings, and their sum.
        turned: See `features.affinity.turned_to`.
        active: See `features.affinity.active_hours`.
        spoken: See `features.affinity.languages_used`.
    """

    user_days: pl.LazyFrame
    item_days: pl.LazyFrame
    user_said: pl.LazyFrame
    item_said: pl.LazyFrame
    ratings: pl.LazyFrame
    turned: pl.LazyFrame
    active: pl.LazyFrame
    spoken: pl.LazyFrame

    def parts(self) -> dict[str, pl.LazyFrame]:
        """Return the frames by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


PARTS = tuple(field.name for field in fields(ProfileState))


def profile_state(
    items: pl.LazyFrame, events: pl.LazyFrame, reviews: pl.LazyFrame, signals: pl.LazyFrame
) -> ProfileState:
    """Sum up events and reviews.

    Args:
        items: `features.schema.Items`; a purchase without a price cost what its item lists at.
        events: `features.schema.Events`.
        reviews: `sentiment.schema.Reviews`.
        signals: Signals of those reviews, of one model version.
    """
    priced = priced_events(events, items)
    felt = felt_reviews(reviews, signals)
    written = reviews.select("review_id", "user_id", "event_time").join(
        signals.select("review_id", "language"), on="review_id"
    )
    return ProfileState(
        user_days=day_state(priced, "user_id", behaviour.MEASURES),
        item_days=day_state(priced, "item_id", behaviour.MEASURES),
        user_said=day_state(felt, "user_id", opinion.MEASURES),
        item_said=day_state(judging(felt), "item_id", opinion.MEASURES),
        ratings=_ratings(
            felt.drop_nulls(["item_id", "rating"]).select(
                *_PAIR, num=pl.lit(1, dtype=pl.Int64), stars=pl.col("rating").cast(pl.Float64)
            )
        ),
        turned=turned_to(events),
        active=active_hours(events),
        spoken=languages_used(written),
    )


def joined_states(states: Sequence[ProfileState]) -> ProfileState:
    """Put states of disjoint sets of rows together; the order does not matter.

    Sums of the same key lie side by side: whoever reads them adds them up.
    """
    parts = {name: pl.concat(state.parts()[name] for state in states) for name in PARTS}
    return ProfileState(**parts)


def merged_state(state: ProfileState) -> ProfileState:
    """Add up what `joined_states` left side by side: the same, in fewer rows."""
    return ProfileState(
        user_days=merged(state.user_days, "user_id", behaviour.MEASURES),
        item_days=merged(state.item_days, "item_id", behaviour.MEASURES),
        user_said=merged(state.user_said, "user_id", opinion.MEASURES),
        item_said=merged(state.item_said, "item_id", opinion.MEASURES),
        ratings=_ratings(state.ratings),
        turned=summed_weights(state.turned),
        active=summed_weights(state.active),
        spoken=summed_weights(state.spoken),
    )


def priced_events(events: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Return events with the list price of their item, as `features.behaviour` reads."""
    prices = items.select("item_id", list_price_cents="price_cents")
    return events.join(prices, on="item_id", how="left")


def felt_reviews(reviews: pl.LazyFrame, signals: pl.LazyFrame) -> pl.LazyFrame:
    """Join each review with what was felt.

    Returns:
        `review_id, user_id, item_id, source, rating, event_time, seq`; `polarity, emotions,
        num_needs`, null where a review has no text that was scored (a bare star rating says nothing
        in words).
    """
    felt = signals.filter(pl.col("embedding").is_not_null()).select(
        "review_id", "polarity", "emotions", num_needs=pl.col("needs").list.len()
    )
    columns = ("review_id", "user_id", "item_id", "source", "rating", "event_time", "seq")
    return reviews.select(columns).join(felt, on="review_id", how="left")


def judging(felt: pl.LazyFrame) -> pl.LazyFrame:
    """Return what `felt_reviews` does without the opinions of texts that judge no item."""
    return felt.with_columns(
        pl.when(pl.col("source").is_in(opinion.JUDGING_SOURCES)).then(
            pl.col("rating", "polarity", "emotions")
        )
    )


def _ratings(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.group_by(_PAIR).agg(pl.col("num", "stars").sum())
