"""What is said of items and by users: the measures of reviews, and the features declared over them.

Means of few reviews are levels (`features.levels`): an item's is shrunk towards what its category
and brand lead to expect, so one angry review does not sink it and a new item starts where its kin
are.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import polars as pl

from features.feature import Feature, Level, Measure, Scope, days_since, ratio, total
from sentiment.emotions import SHOP_EMOTIONS

Stars = TypeVar("Stars", pl.Expr, np.ndarray, float)
# Texts that judge an experience; support messages and questions are written in trouble only.
JUDGING_SOURCES = ("review", "survey")
# What an item borrows from, the widest first.
ITEM_PARENTS = ("category", "brand")
NEGATIVE_BELOW = -0.2
FELT_FROM = 0.5
ITEM_TREND_DAYS = 90
USER_TREND_DAYS = 365
# Of one felt review (see `features.profile_state.felt_reviews`).
_RATING, _POLARITY = pl.col("rating").cast(pl.Float64), pl.col("polarity").cast(pl.Float64)
_EMOTIONS = pl.col("emotions")


def felt(stars: pl.Expr, polarity: pl.Expr) -> pl.Expr:
    """Return how a purchase was felt about, -1 to 1: the mean of what stars and words say of it.

    Each knows what the other does not, and either stands alone where the other is missing.

    Args:
        stars: 1 to 5 of the buyer's review, null where it has none.
        polarity: Of its words, -1 to 1, null where there are none.
    """
    return pl.mean_horizontal(polarity_of_stars(stars), polarity)


def polarity_of_stars(stars: Stars) -> Stars:
    """Return what stars say on the scale of polarity: one is -1, three 0, five 1."""
    return (stars - 3.0) / 2.0


def _flag(name: str, holds: pl.Expr) -> Measure:
    return Measure(name=name, value=holds.cast(pl.Int64))


REVIEWS = _flag("reviews", pl.col("event_time").is_not_null())
RATED = _flag("rated", _RATING.is_not_null())
STARS = Measure(name="stars", value=_RATING)
STARS_SQUARES = Measure(name="stars_squares", value=_RATING**2)
FELT = _flag("felt", _POLARITY.is_not_null())
POLARITY = Measure(name="polarity", value=_POLARITY)
POLARITY_SQUARES = Measure(name="polarity_squares", value=_POLARITY**2)
NEGATIVE = _flag("negative", _POLARITY < NEGATIVE_BELOW)
POSITIVE = _flag("positive", _POLARITY > -NEGATIVE_BELOW)
NEEDS = Measure(name="needs", value=pl.col("num_needs").cast(pl.Int64))
LAST_REVIEW = Measure(name="last_review_time", value=pl.col("event_time"), how="max")
EMOTIONS = {
    emotion: (
        _flag(f"known_{emotion}", _EMOTIONS.struct.field(emotion).is_not_null()),
        _flag(f"felt_{emotion}", _EMOTIONS.struct.field(emotion) >= FELT_FROM),
    )
    for emotion in SHOP_EMOTIONS
}
MEASURES = (
    REVIEWS,
    RATED,
    STARS,
    STARS_SQUARES,
    FELT,
    POLARITY,
    POLARITY_SQUARES,
    NEGATIVE,
    POSITIVE,
    NEEDS,
    LAST_REVIEW,
    *(measure for pair in EMOTIONS.values() for measure in pair),
)

STARS_LEVEL = Level(
    name="stars", count=RATED, total=STARS, squares=STARS_SQUARES, low=1.0, high=5.0
)
POLARITY_LEVEL = Level(
    name="polarity", count=FELT, total=POLARITY, squares=POLARITY_SQUARES, low=-1.0, high=1.0
)
# The squares of zeros and ones are themselves.
NEGATIVE_LEVEL = Level(
    name="negative", count=FELT, total=NEGATIVE, squares=NEGATIVE, low=0.0, high=1.0
)
LEVELS = (STARS_LEVEL, POLARITY_LEVEL, NEGATIVE_LEVEL)


def levels_of(features: Sequence[Feature]) -> list[Level]:
    """Return the levels that features read."""
    wanted = {name for feature in features for name in feature.levels}
    return [level for level in LEVELS if level.name in wanted]


def _means(scope: Scope, of_whom: str) -> list[Feature]:
    return [
        Feature(
            name="num_reviews",
            scope=scope,
            dtype=pl.Int64,
            unit="reviews",
            value=total(REVIEWS),
            meaning=f"texts and ratings {of_whom}",
            default=0,
        ),
        Feature(
            name="stars_mean",
            scope=scope,
            dtype=pl.Float64,
            unit="stars",
            value=ratio(total(STARS), total(RATED)),
            meaning=f"mean rating {of_whom}; null without any",
        ),
        Feature(
            name="polarity_mean",
            scope=scope,
            dtype=pl.Float64,
            unit="polarity",
            value=ratio(total(POLARITY), total(FELT)),
            meaning=f"mean polarity of the words {of_whom}; null without any",
        ),
        Feature(
            name="days_since_review",
            scope=scope,
            dtype=pl.Float64,
            unit="days",
            value=days_since(total(LAST_REVIEW)),
            meaning=f"since the last review {of_whom}; null without any",
        ),
        Feature(
            name="num_needs",
            scope=scope,
            dtype=pl.Int64,
            unit="needs",
            value=total(NEEDS),
            meaning=f"needs and wishes voiced in reviews {of_whom}",
            default=0,
        ),
    ]


def _shrunk(
    scope: Scope, level: Level, name: str, unit: str, what: str, default: float | None
) -> list[Feature]:
    """Return the level of a mean, and the ends of its interval."""
    null = "" if default is not None else "; null where the shop has none"
    ends = {"low": "lower end of the 95% interval of", "high": "upper end of the 95% interval of"}
    return [
        Feature(
            name=name,
            scope=scope,
            dtype=pl.Float64,
            unit=unit,
            value=level.offer(),
            meaning=f"{what}, shrunk{null}",
            default=default,
        ),
        *(
            Feature(
                name=f"{name}_{end}",
                scope=scope,
                dtype=pl.Float64,
                unit=unit,
                value=level.offer(end),  # type: ignore[arg-type]
                meaning=f"{meaning} {name}; null where the shop has none",
            )
            for end, meaning in ends.items()
        ),
    ]


def _trend(scope: Scope, days: int) -> list[Feature]:
    """Return how polarity of late differs from before, and how surely."""
    num_late, late = total(FELT, days), total(POLARITY, days)
    num_before, before = total(FELT) - num_late, total(POLARITY) - late
    change = ratio(late, num_late) - ratio(before, num_before)
    noise = POLARITY_LEVEL.offer("noise") * (1 / num_late + 1 / num_before).sqrt()
    return [
        Feature(
            name="polarity_trend",
            scope=scope,
            dtype=pl.Float64,
            unit="polarity",
            value=change,
            meaning=f"mean polarity of the last {days} days less that before; null without either",
        ),
        Feature(
            name="polarity_drift",
            scope=scope,
            dtype=pl.Float64,
            unit="standard errors",
            value=pl.when((num_late > 0) & (num_before > 0) & (noise > 0)).then(change / noise),
            meaning="the trend over its standard error; below -2 the change is hardly chance",
            default=0.0,
        ),
    ]


def _emotion_shares(scope: Scope, of_whom: str) -> list[Feature]:
    return [
        Feature(
            name=f"{emotion}_share",
            scope=scope,
            dtype=pl.Float64,
            unit="share",
            value=ratio(total(felt), total(known)),
            meaning=f"reviews {of_whom} that show {emotion}; null where no model could tell",
        )
        for emotion, (known, felt) in EMOTIONS.items()
    ]


ITEM_OPINION = (
    *_means("item", "of the item"),
    *_shrunk("item", STARS_LEVEL, "stars_smoothed", "stars", "rating to be expected", None),
    *_shrunk(
        "item", POLARITY_LEVEL, "polarity_smoothed", "polarity", "polarity to be expected", 0.0
    ),
    *_shrunk(
        "item", NEGATIVE_LEVEL, "negative_share", "share", "negative reviews to be expected", 0.0
    ),
    Feature(
        name="stars_own_share",
        scope="item",
        dtype=pl.Float64,
        unit="share",
        value=STARS_LEVEL.offer("own_share"),
        meaning="how much of stars_smoothed the item's own ratings decide",
        default=0.0,
    ),
    Feature(
        name="stars_borrowed_from",
        scope="item",
        dtype=pl.String,
        unit="brand, category or shop",
        value=STARS_LEVEL.offer("borrowed_from"),
        meaning="whose ratings stars_smoothed stands on; null where the item has its own",
    ),
    Feature(
        name="polarity_std",
        scope="item",
        dtype=pl.Float64,
        unit="polarity",
        value=pl.when(total(FELT) > 1).then(
            (
                (total(POLARITY_SQUARES) - total(POLARITY) ** 2 / total(FELT)).clip(lower_bound=0)
                / (total(FELT) - 1)
            ).sqrt()
        ),
        meaning="standard deviation of polarity; null with fewer than two",
    ),
    Feature(
        name="controversy",
        scope="item",
        dtype=pl.Float64,
        unit="share",
        value=ratio(2 * pl.min_horizontal(total(NEGATIVE), total(POSITIVE)), total(FELT)),
        meaning="twice the smaller of the positive and negative shares; null without words",
    ),
    *_trend("item", ITEM_TREND_DAYS),
    *_emotion_shares("item", "of the item"),
)

USER_OPINION = (
    *_means("user", "by the user"),
    Feature(
        name="negative_share",
        scope="user",
        dtype=pl.Float64,
        unit="share",
        value=ratio(total(NEGATIVE), total(FELT)),
        meaning="the user's negative reviews; null without words",
    ),
    *_shrunk(
        "user", POLARITY_LEVEL, "polarity_smoothed", "polarity", "polarity to be expected", 0.0
    ),
    *_trend("user", USER_TREND_DAYS),
    *_emotion_shares("user", "by the user"),
)
