"""User and item profiles as of a time, from visible tables only (see `features.visibility`).

What they say is declared in `features.behaviour` and `features.opinion`, and read here from sums by
key and day.
"""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from features import behaviour, opinion
from features.affinity import affinity_state, favourites, price_positions, read_affinities
from features.day_state import day_state, read_features, read_totals
from features.feature import Feature, days_since, evaluated, filled
from features.levels import with_levels
from features.visibility import Visible

# What an item borrows from, the widest first.
_PARENTS = ("category", "brand")


def felt_reviews(reviews: pl.LazyFrame, signals: pl.LazyFrame) -> pl.LazyFrame:
    """Join each review with what was felt.

    Returns:
        `review_id, user_id, item_id, source, rating, event_time, seq, polarity, emotions, num_needs`;
        the last three are null where a review has no text that was scored (a bare star rating says
        nothing in words).
    """
    felt = signals.filter(pl.col("embedding").is_not_null()).select(
        "review_id", "polarity", "emotions", num_needs=pl.col("needs").list.len()
    )
    columns = ("review_id", "user_id", "item_id", "source", "rating", "event_time", "seq")
    return reviews.select(columns).join(felt, on="review_id", how="left")


def priced_events(visible: Visible, items: pl.LazyFrame) -> pl.LazyFrame:
    """Return visible events with the list price of their item, as `features.behaviour` reads."""
    prices = items.select("item_id", list_price_cents="price_cents")
    return visible.events.lazy().join(prices, on="item_id", how="left")


def item_profiles(items: pl.LazyFrame, visible: Visible, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return one row an item of `items`, also for items nobody has touched.

    Columns: `item_id, as_of, title, categories, brand, price_cents`; those of
    `features.behaviour.ITEM_BEHAVIOUR` and `features.opinion.ITEM_OPINION`; `price_position` (see
    `features.affinity.price_positions`); `age_days` since the item was made or first seen, null
    where it will be made later.
    """
    as_of = visible.as_of
    acted = _read_behaviour(items, visible, "item_id", behaviour.ITEM_BEHAVIOUR)
    kin = items.select("item_id", "brand", category=pl.col("categories").list.last())
    judged = pl.col("source").is_in(opinion.JUDGING_SOURCES)
    felt = felt_reviews(visible.reviews.lazy(), signals).with_columns(
        pl.when(judged).then(pl.col("rating", "polarity", "emotions"))
    )
    said = _read_opinion(felt, "item_id", opinion.ITEM_OPINION, as_of, keys=kin, parents=_PARENTS)
    of_items = items.select("item_id", "title", "categories", "brand", "price_cents", "created_at")
    return (
        filled(of_items.join(acted, on="item_id", how="left"), behaviour.ITEM_BEHAVIOUR)
        .join(said, on="item_id", how="left")
        .join(price_positions(items, as_of).drop("price_band"), on="item_id", how="left")
        .with_columns(as_of=pl.lit(as_of))
        .with_columns(age_days=pl.max_horizontal(days_since(pl.col("created_at")), "days_known"))
        .with_columns(age_days=pl.when(pl.col("age_days") >= 0).then("age_days"))
        .drop("created_at")
        .sort("item_id")
        .collect()
    )


def user_features(items: pl.LazyFrame, visible: Visible, signals: pl.LazyFrame) -> pl.LazyFrame:
    """Return `user_id` and the declared features of every user with a visible event or review."""
    acted = _read_behaviour(items, visible, "user_id", behaviour.USER_BEHAVIOUR)
    felt = felt_reviews(visible.reviews.lazy(), signals)
    said = _read_opinion(felt, "user_id", opinion.USER_OPINION, visible.as_of)
    together = acted.join(said, on="user_id", how="full", coalesce=True)
    return filled(together, (*behaviour.USER_BEHAVIOUR, *opinion.USER_OPINION))


def user_affinities(items: pl.LazyFrame, visible: Visible, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return what each user turns to; see `features.affinity.read_affinities`."""
    written = visible.reviews.lazy().select("review_id", "user_id", "event_time")
    written = written.join(signals.select("review_id", "language"), on="review_id")
    state = affinity_state(visible.events.lazy(), items, written, visible.as_of)
    return read_affinities(state, visible.as_of).collect()


def user_profiles(
    items: pl.LazyFrame,
    visible: Visible,
    signals: pl.LazyFrame,
    affinities: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return one row a user with any visible event or review.

    Columns: `user_id, as_of`; those of `features.behaviour.USER_BEHAVIOUR` and
    `features.opinion.USER_OPINION`; `stars_above_crowd`: mean of own stars less the item's mean;
    those of `features.affinity.favourites`.

    Args:
        items: `features.schema.Items`.
        visible: What may be seen.
        signals: Review signals of one model version.
        affinities: What `user_affinities` returns of the same; None computes it.
    """
    if affinities is None:
        affinities = user_affinities(items, visible, signals)
    felt = felt_reviews(visible.reviews.lazy(), signals)
    return (
        user_features(items, visible, signals)
        .join(_above_crowd(felt), on="user_id", how="left")
        .join(favourites(affinities.lazy()), on="user_id", how="left")
        .with_columns(as_of=pl.lit(visible.as_of))
        .sort("user_id")
        .collect()
    )


def _read_behaviour(
    items: pl.LazyFrame, visible: Visible, key: str, features: Sequence[Feature]
) -> pl.LazyFrame:
    state = day_state(priced_events(visible, items), key, behaviour.MEASURES)
    return read_features(state, key, behaviour.MEASURES, features, as_of=visible.as_of)


def _read_opinion(
    felt: pl.LazyFrame,
    key: str,
    features: Sequence[Feature],
    as_of: datetime,
    *,
    keys: pl.LazyFrame | None = None,
    parents: Sequence[str] = (),
) -> pl.LazyFrame:
    """Return the features of `keys`, a frame of the key and its parents; None: whoever is felt."""
    wanted = {name for feature in features for name in feature.levels}
    levels = [level for level in opinion.LEVELS if level.name in wanted]
    totals = [total for feature in features for total in feature.totals]
    totals += [total for level in levels for total in level.totals]
    state = day_state(felt, key, opinion.MEASURES)
    read = read_totals(state, key, opinion.MEASURES, totals, as_of=as_of)
    if keys is not None:
        read = keys.join(read, on=key, how="left")
    leveled = with_levels(read.collect(), levels, parents)
    return evaluated(leveled.lazy().with_columns(as_of=pl.lit(as_of)), [key], features)


def _above_crowd(felt: pl.LazyFrame) -> pl.LazyFrame:
    of_item = pl.col("rating").mean().over("item_id")
    return (
        felt.filter(pl.col("item_id").is_not_null())
        .with_columns(above=pl.col("rating") - of_item)
        .group_by("user_id")
        .agg(stars_above_crowd=pl.col("above").mean())
    )
