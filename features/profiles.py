"""User and item profiles as of a time, from visible tables only (see `features.visibility`).

Everything is one lazy plan a profile: Polars streams it. Counts are exact; averages of reviews are
shrunk towards the shop's mean by `prior_reviews` imaginary reviews, so one angry review does not
sink an item.
"""

from dataclasses import dataclass

import polars as pl

from features.behaviour import ITEM_BEHAVIOUR, MEASURES, USER_BEHAVIOUR
from features.day_state import day_state, read_features
from features.feature import days_since, filled
from features.visibility import Visible

NEGATIVE_BELOW = -0.2


@dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """How profiles are smoothed.

    Attributes:
        prior_reviews: Weight of the shop's mean, in reviews, at least 0.
    """

    prior_reviews: float = 5.0

    def __post_init__(self) -> None:
        """Check the range."""
        if self.prior_reviews < 0:
            raise ValueError(f"prior_reviews must be at least 0, not {self.prior_reviews}")


def felt_reviews(reviews: pl.LazyFrame, signals: pl.LazyFrame) -> pl.LazyFrame:
    """Join each review with its polarity.

    Returns:
        `review_id, user_id, item_id, rating, polarity, event_time, seq`; polarity is null where a
        review has no text that was scored (a bare star rating says nothing in words).
    """
    polarity = signals.filter(pl.col("embedding").is_not_null()).select("review_id", "polarity")
    return reviews.select("review_id", "user_id", "item_id", "rating", "event_time", "seq").join(
        polarity, on="review_id", how="left"
    )


def priced_events(visible: Visible, items: pl.LazyFrame) -> pl.LazyFrame:
    """Return visible events with the list price of their item, as `features.behaviour` reads."""
    prices = items.select("item_id", list_price_cents="price_cents")
    return visible.events.lazy().join(prices, on="item_id", how="left")


def item_profiles(
    items: pl.LazyFrame,
    visible: Visible,
    signals: pl.LazyFrame,
    config: ProfileConfig = ProfileConfig(),
) -> pl.DataFrame:
    """Return one row an item of `items`, also for items nobody has touched.

    Columns: `item_id, as_of, title, categories, brand, price_cents`; those of
    `features.behaviour.ITEM_BEHAVIOUR`; `num_reviews`; `stars_mean`, `polarity_mean` (null without
    reviews), `stars_smoothed`, `polarity_smoothed`, `negative_share` (shrunk; `stars_smoothed` is
    null where the whole shop has no stars), `polarity_std`; `age_days` since the item was made or
    first seen, `last_review_at`.
    """
    as_of = pl.lit(visible.as_of)
    state = day_state(priced_events(visible, items), "item_id", MEASURES)
    behaviour = read_features(state, "item_id", MEASURES, ITEM_BEHAVIOUR, as_of=visible.as_of)
    felt = felt_reviews(visible.reviews.lazy(), signals).filter(pl.col("item_id").is_not_null())
    opinion = felt.group_by("item_id").agg(
        num_reviews=pl.len(),
        stars_mean=pl.col("rating").mean(),
        polarity_mean=pl.col("polarity").mean(),
        polarity_std=pl.col("polarity").std(),
        last_review_at=pl.col("event_time").max(),
        **_shrunk(felt, config.prior_reviews),
    )
    shop = felt.select(**_shop_means()).collect()
    of_items = items.select("item_id", "title", "categories", "brand", "price_cents", "created_at")
    return (
        filled(of_items.join(behaviour, on="item_id", how="left"), ITEM_BEHAVIOUR)
        .join(opinion, on="item_id", how="left")
        .with_columns(pl.col("num_reviews").fill_null(0).cast(pl.Int64), as_of=as_of)
        .with_columns(
            stars_smoothed=pl.col("stars_smoothed").fill_null(_number(shop["stars"].item())),
            polarity_smoothed=pl.col("polarity_smoothed").fill_null(shop["polarity"].item()),
            negative_share=pl.col("negative_share").fill_null(shop["negative"].item()),
            age_days=pl.max_horizontal(days_since(pl.col("created_at")), "days_known"),
        )
        .drop("created_at")
        .sort("item_id")
        .collect()
    )


def user_profiles(items: pl.LazyFrame, visible: Visible, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return one row a user with any visible event or review.

    Columns: `user_id, as_of`; those of `features.behaviour.USER_BEHAVIOUR`; `num_reviews`,
    `stars_mean`, `polarity_mean`, `negative_share` of the user's own reviews (null without any);
    `stars_above_crowd`: mean of own stars less the item's mean; `favourite_categories`: up to three
    most bought.
    """
    as_of = pl.lit(visible.as_of)
    state = day_state(priced_events(visible, items), "user_id", MEASURES)
    behaviour = read_features(state, "user_id", MEASURES, USER_BEHAVIOUR, as_of=visible.as_of)
    felt = felt_reviews(visible.reviews.lazy(), signals).with_columns(
        above_crowd=pl.when(pl.col("item_id").is_not_null()).then(
            pl.col("rating") - pl.col("rating").mean().over("item_id")
        )
    )
    opinion = felt.group_by("user_id").agg(
        num_reviews=pl.len(),
        stars_mean=pl.col("rating").mean(),
        polarity_mean=pl.col("polarity").mean(),
        negative_share=(pl.col("polarity") < NEGATIVE_BELOW).mean(),
        stars_above_crowd=pl.col("above_crowd").mean(),
    )
    favourites = (
        visible.events.lazy()
        .filter(pl.col("event_type") == "purchase")
        .select("user_id", "item_id")
        .join(items.select("item_id", "categories"), on="item_id")
        .explode("categories")
        .drop_nulls("categories")
        .group_by("user_id", "categories")
        .len()
        .sort(["user_id", "len", "categories"], descending=[False, True, False])
        .group_by("user_id", maintain_order=True)
        .agg(favourite_categories=pl.col("categories").head(3))
    )
    return (
        filled(behaviour.join(opinion, on="user_id", how="full", coalesce=True), USER_BEHAVIOUR)
        .join(favourites, on="user_id", how="left")
        .with_columns(pl.col("num_reviews").fill_null(0).cast(pl.Int64), as_of=as_of)
        .sort("user_id")
        .collect()
    )


def _number(value: float | None) -> pl.Expr:
    return pl.lit(value, dtype=pl.Float64)


def _shop_means() -> dict[str, pl.Expr]:
    return {
        "stars": pl.col("rating").mean(),
        "polarity": pl.col("polarity").mean().fill_null(0.0),
        "negative": (pl.col("polarity") < NEGATIVE_BELOW).mean().fill_null(0.0),
    }


def _shrunk(felt: pl.LazyFrame, prior: float) -> dict[str, pl.Expr]:
    """Means with `prior` imaginary rows at the shop's mean."""
    shop = felt.select(**_shop_means()).collect()
    negative = pl.col("polarity") < NEGATIVE_BELOW

    def shrink(total: pl.Expr, count: pl.Expr, mean: float | None) -> pl.Expr:
        shrunk = (total + prior * _number(mean)) / (count + prior)
        return pl.when(count + prior > 0).then(shrunk)

    return {
        "stars_smoothed": shrink(
            pl.col("rating").sum(), pl.col("rating").count(), shop["stars"].item()
        ),
        "polarity_smoothed": shrink(
            pl.col("polarity").sum(), pl.col("polarity").count(), shop["polarity"].item()
        ),
        "negative_share": shrink(
            negative.sum(), pl.col("polarity").count(), shop["negative"].item()
        ),
    }
