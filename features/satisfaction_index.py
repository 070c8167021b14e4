"""How satisfied buyers are, 0 to 100: of an item, brand, category, aspect, user group, period.

Two things are known of an experience. What was said of it: stars and polarity of a review, each as
a share of its scale, averaged. And whether the purchase was kept. Both are averaged over a group,
shrunk towards the mean of all groups (`features.shrinkage`), and put together by their weights. Not
everybody reviews, and not every purchase can be returned yet: it is an index for comparison, no
share of satisfied buyers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.opinion import JUDGING_SOURCES
from features.shrinkage import GroupPrior, Moments, group_prior
from features.visibility import Visible, first_purchases

ITEM_KEYS = ("item_id", "brand", "category")
USER_KEYS = ("country", "language")
KEYS = (*ITEM_KEYS, "aspect", *USER_KEYS, "period")
PERIODS = {"week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}
_SAID = Moments(count="num_opinions", total="_said", squares="_said_squares")
_KEPT = Moments(count="num_purchases", total="_kept", squares="_kept_squares")
_Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class SatisfactionConfig:
    """How the index is put together.

    Attributes:
        stars_weight: Of stars within what was said of an experience.
        polarity_weight: Of the polarity of the words.
        kept_weight: Of kept purchases beside what was said, within 0..1.
        least_observations: A group of fewer opinions is marked as small.
        period: What `period` is cut to, of `PERIODS`.
    """

    stars_weight: float = 1.0
    polarity_weight: float = 1.0
    kept_weight: float = 0.25
    least_observations: int = 10
    period: str = "month"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.stars_weight, self.polarity_weight) < 0 or not (
            self.stars_weight + self.polarity_weight
        ):
            raise ValueError("stars_weight and polarity_weight must be at least 0, one above it")
        if not 0 <= self.kept_weight < 1:
            raise ValueError(f"kept_weight must be within [0, 1), not {self.kept_weight}")
        if self.period not in PERIODS:
            raise ValueError(f"period must be one of {', '.join(PERIODS)}, not {self.period!r}")


def satisfaction_index(
    items: pl.LazyFrame,
    visible: Visible,
    signals: pl.LazyFrame,
    *,
    by: Sequence[str],
    users: pl.LazyFrame | None = None,
    config: SatisfactionConfig = SatisfactionConfig(),
) -> pl.DataFrame:
    """Return one row a group that has a visible opinion or purchase, sorted by its keys.

    Args:
        items: `features.schema.Items`.
        visible: What may be seen.
        signals: Review signals of one model version.
        by: Keys of a group, of `KEYS`, at least one; rows of which a key is unknown are left out,
            an item counts in each of its categories, and under `aspect` only what was said of it
            counts.
        users: `features.schema.Users`; needed by `USER_KEYS`.
        config: Weights and marks.

    Returns:
        The keys (`period` is when it begins), `num_opinions`, `num_purchases`, `num_returned`,
        `stars_mean`, `polarity_mean` and `return_rate` as observed (null where nothing was),
        `satisfaction` with the ends of its 95% interval `satisfaction_low` and `satisfaction_high`,
        `own_share` (how much of what was said is the group's own, the rest is shrunk away) and
        `is_small`.

    Raises:
        ValueError: If a key is unknown, or users are needed and missing.
    """
    unknown = [key for key in by if key not in KEYS]
    if unknown or not by:
        raise ValueError(f"group by some of {', '.join(KEYS)}, not {', '.join(unknown) or 'none'}")
    if users is None and any(key in USER_KEYS for key in by):
        raise ValueError("groups of users need the table users")
    keys = list(dict.fromkeys(by))
    with_keys = _Keys(keys=keys, items=items, users=users, every=PERIODS[config.period])
    said = with_keys.add(_opinions(visible, signals, "aspect" in keys, config))
    of_said = said.group_by(keys).agg(
        num_opinions=pl.len(),
        _said=pl.col("said").sum(),
        _said_squares=(pl.col("said") ** 2).sum(),
        stars_mean=pl.col("rating").mean(),
        polarity_mean=pl.col("polarity").mean(),
    )
    if "aspect" in keys:
        groups = of_said.with_columns(num_purchases=0, _kept=0.0)
    else:
        of_kept = (
            with_keys.add(_purchases(visible))
            .group_by(keys)
            .agg(num_purchases=pl.len(), _kept=pl.col("kept").sum())
        )
        groups = of_said.join(of_kept, on=keys, how="full", coalesce=True)
    counted = ["num_opinions", "_said", "_said_squares", "num_purchases", "_kept"]
    return _index(groups.with_columns(pl.col(counted).fill_null(0)).collect(), keys, config)


def _index(groups: pl.DataFrame, keys: list[str], config: SatisfactionConfig) -> pl.DataFrame:
    # The squares of zeros and ones are themselves.
    groups = groups.with_columns(_kept_squares=pl.col("_kept"))
    parts = [
        (moments, prior, weight)
        for moments, prior, weight in (
            (_SAID, group_prior(groups, _SAID), 1.0 - config.kept_weight),
            (_KEPT, group_prior(groups, _KEPT), config.kept_weight),
        )
        if prior.mean is not None and weight
    ]
    level, reach = _together(parts)
    purchases, kept = pl.col("num_purchases"), pl.col("_kept")
    own_share = next((p.weight_of(m) for m, p, _ in parts if m is _SAID), pl.lit(0.0))
    return (
        groups.with_columns(
            pl.col("num_opinions", "num_purchases").cast(pl.Int64),
            num_returned=(purchases - kept).round().cast(pl.Int64),
            return_rate=pl.when(purchases > 0).then((purchases - kept) / purchases),
            satisfaction=100 * level,
            satisfaction_low=100 * (level - reach).clip(0.0, 1.0),
            satisfaction_high=100 * (level + reach).clip(0.0, 1.0),
            own_share=own_share,
            is_small=pl.col("num_opinions") < config.least_observations,
        )
        .select(
            *keys,
            "num_opinions",
            "num_purchases",
            "num_returned",
            "stars_mean",
            "polarity_mean",
            "return_rate",
            "satisfaction",
            "satisfaction_low",
            "satisfaction_high",
            "own_share",
            "is_small",
        )
        .sort(keys)
    )


def _together(parts: list[tuple[Moments, GroupPrior, float]]) -> tuple[pl.Expr, pl.Expr]:
    """Return the weighted level of the parts and how far its interval reaches.

    Deviations are added and not their squares: what people say and what they send back go together.
    """
    if not parts:
        return pl.lit(None, dtype=pl.Float64), pl.lit(None, dtype=pl.Float64)
    total = sum(weight for _, _, weight in parts)
    level = pl.sum_horizontal(
        [weight / total * prior.mean_of(moments) for moments, prior, weight in parts]
    )
    deviation = pl.sum_horizontal(
        [weight / total * prior.deviation_of(moments) for moments, prior, weight in parts]
    )
    return level, _Z * deviation


def _opinions(
    visible: Visible, signals: pl.LazyFrame, by_aspect: bool, config: SatisfactionConfig
) -> pl.LazyFrame:
    """Return `user_id, item_id, event_time, rating, polarity, said` and maybe `aspect`."""
    judged = visible.reviews.lazy().filter(pl.col("source").is_in(JUDGING_SOURCES))
    judged = judged.select("review_id", "user_id", "item_id", "event_time", "rating")
    spoken = signals.filter(pl.col("embedding").is_not_null())
    if by_aspect:
        of_aspect = (
            spoken.select("review_id", "aspects")
            .explode("aspects", keep_nulls=False, empty_as_null=False)
            .select(
                "review_id",
                aspect=pl.col("aspects").struct.field("aspect"),
                polarity=pl.col("aspects").struct.field("polarity"),
            )
            .group_by("review_id", "aspect")
            .agg(pl.col("polarity").cast(pl.Float64).mean())
        )
        return judged.join(of_aspect, on="review_id").with_columns(
            rating=pl.lit(None, dtype=pl.Float64), said=(pl.col("polarity") + 1) / 2
        )
    opinions = judged.join(
        spoken.select("review_id", pl.col("polarity").cast(pl.Float64)), on="review_id", how="left"
    ).with_columns(pl.col("rating").cast(pl.Float64))
    shares = (
        ((pl.col("rating") - 1) / 4, config.stars_weight),
        ((pl.col("polarity") + 1) / 2, config.polarity_weight),
    )
    total = pl.sum_horizontal([weight * share.fill_null(0.0) for share, weight in shares])
    weights = pl.sum_horizontal([weight * share.is_not_null() for share, weight in shares])
    return opinions.with_columns(said=pl.when(weights > 0).then(total / weights)).drop_nulls("said")


def _purchases(visible: Visible) -> pl.LazyFrame:
    """Return `user_id, item_id, event_time, kept`: 0 where a return of the item is visible."""
    returned = (
        visible.events.lazy()
        .filter(pl.col("event_type") == "return")
        .select("user_id", "item_id", kept=pl.lit(0.0))
        .unique()
    )
    return (
        first_purchases(visible.events)
        .lazy()
        .select("user_id", "item_id", "event_time")
        .join(returned, on=["user_id", "item_id"], how="left")
        .with_columns(pl.col("kept").fill_null(1.0))
    )


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """Adds the keys of a group to rows of `user_id, item_id, event_time`."""

    keys: list[str]
    items: pl.LazyFrame
    users: pl.LazyFrame | None
    every: str

    def add(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        if "brand" in self.keys:
            rows = rows.join(self.items.select("item_id", "brand"), on="item_id")
        if "category" in self.keys:
            of_items = self.items.select("item_id", category=pl.col("categories").list.unique())
            of_items = of_items.explode("category", keep_nulls=False, empty_as_null=False)
            rows = rows.join(of_items, on="item_id")
        of_users = [key for key in self.keys if key in USER_KEYS]
        if of_users and self.users is not None:
            rows = rows.join(self.users.select("user_id", *of_users), on="user_id")
        rows = rows.with_columns(period=pl.col("event_time").dt.truncate(self.every))
        return rows.drop_nulls(self.keys)
