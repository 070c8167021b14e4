"""User and item profiles as of a time, read from the state that is kept of visible rows.

What they say is declared in `features.behaviour` and `features.opinion`; what may be seen is
decided in `features.visibility`.
"""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from features import behaviour, opinion
from features.affinity import favourites, read_affinities
from features.day_state import read_features, read_totals
from features.feature import Feature, days_since, evaluated, filled, totals_of
from features.levels import with_levels
from features.prices import price_positions
from features.profile_state import ProfileState, profile_state
from features.visibility import Visible


def visible_state(items: pl.LazyFrame, visible: Visible, signals: pl.LazyFrame) -> ProfileState:
    """Sum up everything visible."""
    return profile_state(items, visible.events.lazy(), visible.reviews.lazy(), signals)


def item_profiles(items: pl.LazyFrame, state: ProfileState, as_of: datetime) -> pl.DataFrame:
    """Return one row an item of `items`, also for items nobody has touched.

    Columns: `item_id, as_of, title, categories, brand, price_cents`; those of
    `features.behaviour.ITEM_BEHAVIOUR` and `features.opinion.ITEM_OPINION`; `price_position` (see
    `features.prices.price_positions`); `age_days` since the item was made or first seen, null
    where it will be made later.
    """
    acted = _read_behaviour(state.item_days, "item_id", behaviour.ITEM_BEHAVIOUR, as_of)
    kin = items.select("item_id", "brand", category=pl.col("categories").list.last())
    said = _read_opinion(
        state.item_said,
        "item_id",
        opinion.ITEM_OPINION,
        as_of,
        keys=kin,
        parents=opinion.ITEM_PARENTS,
    )
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


def user_features(state: ProfileState, as_of: datetime) -> pl.LazyFrame:
    """Return `user_id` and the declared features of every user with an event or review."""
    acted = _read_behaviour(state.user_days, "user_id", behaviour.USER_BEHAVIOUR, as_of)
    said = _read_opinion(state.user_said, "user_id", opinion.USER_OPINION, as_of)
    together = acted.join(said, on="user_id", how="full", coalesce=True)
    return filled(together, (*behaviour.USER_BEHAVIOUR, *opinion.USER_OPINION))


def user_affinities(items: pl.LazyFrame, state: ProfileState, as_of: datetime) -> pl.DataFrame:
    """Return what each user turns to; see `features.affinity.read_affinities`."""
    return read_affinities(state.turned, state.active, state.spoken, items, as_of)


def user_profiles(
    state: ProfileState, as_of: datetime, affinities: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return one row a user with any event or review.

    Columns: `user_id, as_of`; those of `features.behaviour.USER_BEHAVIOUR` and
    `features.opinion.USER_OPINION`; `stars_above_crowd`: mean of own stars less the item's mean;
    those of `features.affinity.favourites` where affinities are given.

    Args:
        state: Of rows before `as_of`.
        as_of: Reference of windows and ages.
        affinities: What `user_affinities` returns of the same; models need none.
    """
    profiles = user_features(state, as_of).join(
        _above_crowd(state.ratings), on="user_id", how="left"
    )
    if affinities is not None:
        profiles = profiles.join(favourites(affinities.lazy()), on="user_id", how="left")
    return profiles.with_columns(as_of=pl.lit(as_of)).sort("user_id").collect()


def _read_behaviour(
    days: pl.LazyFrame, key: str, features: Sequence[Feature], as_of: datetime
) -> pl.LazyFrame:
    return read_features(days, key, behaviour.MEASURES, features, as_of=as_of)


def _read_opinion(
    days: pl.LazyFrame,
    key: str,
    features: Sequence[Feature],
    as_of: datetime,
    *,
    keys: pl.LazyFrame | None = None,
    parents: Sequence[str] = (),
) -> pl.LazyFrame:
    """Return the features of `keys`, a frame of the key and its parents; None: whoever is felt."""
    levels = opinion.levels_of(features)
    read = read_totals(days, key, opinion.MEASURES, totals_of(features, levels), as_of=as_of)
    if keys is not None:
        read = keys.join(read, on=key, how="left")
    leveled = with_levels(read.collect(), levels, key, parents)
    return evaluated(leveled.lazy().with_columns(as_of=pl.lit(as_of)), [key], features)


def _above_crowd(ratings: pl.LazyFrame) -> pl.LazyFrame:
    num, stars = pl.col("num"), pl.col("stars")
    of_item = stars.sum().over("item_id") / num.sum().over("item_id")
    return (
        ratings.with_columns(above=stars - num * of_item)
        .group_by("user_id")
        .agg(stars_above_crowd=pl.col("above").sum() / num.sum())
    )
