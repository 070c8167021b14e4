"""What buyers say of an item's aspects; which aspects a user cares about, and how strictly.

A mention is a review and an aspect in it, with the mean polarity of what it says of it. Polarity of
few mentions is shrunk twice (`features.shrinkage`): an aspect towards all aspects, since sound
is praised and price is not, and an item's aspect towards that aspect elsewhere.
"""

from dataclasses import dataclass

import polars as pl

from features.opinion import JUDGING_SOURCES
from features.shrinkage import GroupPrior, Moments, group_prior
from features.visibility import Visible

_MENTIONS = Moments(count="num_mentions", total="_total", squares="_squares")
_BEYOND = Moments(count="num_mentions", total="_beyond", squares="_beyond_squares")


@dataclass(frozen=True, kw_only=True)
class AspectConfig:
    """What counts as a mention, and how strongly users are pulled towards the crowd.

    Attributes:
        least_confidence: Opinions below it are no mentions, within 0..1.
        least_reviews: Aspects in fewer visible reviews are left out.
        prior_reviews: Imaginary reviews of a user that mention aspects as the crowd does, above 0.
    """

    least_confidence: float = 0.5
    least_reviews: int = 3
    prior_reviews: float = 5.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.least_confidence <= 1:
            raise ValueError(f"least_confidence must be within 0..1, not {self.least_confidence}")
        if self.prior_reviews <= 0:
            raise ValueError(f"prior_reviews must be above 0, not {self.prior_reviews}")


def aspect_mentions(
    visible: Visible, signals: pl.LazyFrame, config: AspectConfig = AspectConfig()
) -> pl.DataFrame:
    """Return the visible mentions in texts that judge; what differs by a plural s is one aspect.

    Returns:
        `review_id, user_id, item_id, event_time, aspect, polarity`, sorted by time, review, aspect.
    """
    opinion = pl.col("aspects").struct
    opinions = (
        signals.select("review_id", "aspects")
        .explode("aspects", keep_nulls=False, empty_as_null=False)
        .filter(opinion.field("confidence") >= config.least_confidence)
        .select("review_id", aspect=opinion.field("aspect"), polarity=opinion.field("polarity"))
    )
    found = (
        visible.reviews.lazy()
        .filter(pl.col("source").is_in(JUDGING_SOURCES))
        .select("review_id", "user_id", "item_id", "event_time")
        .join(opinions, on="review_id")
        .collect()
    )
    return (
        found.lazy()
        .with_columns(pl.col("aspect").replace(_singulars(found["aspect"].unique().to_list())))
        .group_by("review_id", "user_id", "item_id", "event_time", "aspect")
        .agg(pl.col("polarity").cast(pl.Float64).mean())
        .filter(pl.len().over("aspect") >= config.least_reviews)
        .sort("event_time", "review_id", "aspect")
        .collect()
    )


def _singulars(aspects: list[str]) -> dict[str, str]:
    """Map each aspect that is another one with an s to that one.

    >>> _singulars(["pedal", "pedals", "glass", "glas-"])
    {'pedals': 'pedal'}
    """
    known = set(aspects)
    return {name: name[:-1] for name in aspects if name.endswith("s") and name[:-1] in known}


def item_aspects(mentions: pl.DataFrame) -> pl.DataFrame:
    """Return what is said of each aspect of each item.

    Args:
        mentions: What `aspect_mentions` returns.

    Returns:
        `item_id, aspect, num_mentions, polarity_mean`; `polarity` as expected of the item, shrunk,
        with the ends of its 95% interval `polarity_low` and `polarity_high`; `aspect_polarity` of
        the aspect over all items, `last_mention_at`. Sorted by item and aspect.
    """
    of_items = _beyond_the_aspect(mentions.drop_nulls("item_id"))
    groups = of_items.group_by("item_id", "aspect").agg(
        *_moments("polarity", _MENTIONS),
        *_moments("beyond", _BEYOND)[1:],
        aspect_polarity=pl.col("expected").first(),
        last_mention_at=pl.col("event_time").max(),
    )
    prior = group_prior(groups, _BEYOND)
    low, high = prior.interval_of(_BEYOND, -2.0, 2.0)
    expected = pl.col("aspect_polarity")
    return groups.select(
        "item_id",
        "aspect",
        pl.col("num_mentions").cast(pl.Int64),
        polarity_mean=pl.col("_total") / pl.col("num_mentions"),
        polarity=(expected + prior.mean_of(_BEYOND)).clip(-1.0, 1.0),
        polarity_low=(expected + low).clip(-1.0, 1.0),
        polarity_high=(expected + high).clip(-1.0, 1.0),
        aspect_polarity=expected,
        last_mention_at="last_mention_at",
    ).sort("item_id", "aspect")


def user_aspects(
    mentions: pl.DataFrame, reviews: pl.DataFrame, config: AspectConfig = AspectConfig()
) -> pl.DataFrame:
    """Return which aspects each user writes about, relative to others, and how strictly.

    Args:
        mentions: What `aspect_mentions` returns.
        reviews: The visible reviews: `review_id, user_id, text, title`; those without words are no
            chance to mention anything.
        config: How far users are pulled towards the crowd.

    Returns:
        `user_id, aspect, num_mentions, num_reviews` (the user's, with words), `polarity_mean`;
        `emphasis`: log-odds of a mention in a review of this user less those of the crowd, above 0
        for who writes of it more than others (informative prior; source: Monroe, Colaresi and Quinn
        2008, "Fightin' Words"); `strictness`: how much worse than others this user finds the aspect
        of the same items, shrunk, in polarity; null where nobody else mentioned it of these items.
        Sorted by user, then by emphasis, the strongest first.
    """
    spoken = reviews.filter(
        (pl.col("text").fill_null("").str.len_bytes() > 0)
        | (pl.col("title").fill_null("").str.len_bytes() > 0)
    )
    written = spoken.group_by("user_id").agg(num_reviews=pl.len())
    # Even what everybody mentions is not certain to be mentioned.
    share = (pl.col("num_crowd") / max(1, len(spoken))).clip(upper_bound=1.0 - 1e-6)
    crowd = mentions.group_by("aspect").agg(num_crowd=pl.len()).select("aspect", share=share)
    of_users = mentions.group_by("user_id", "aspect").agg(
        num_mentions=pl.len(), polarity_mean=pl.col("polarity").mean()
    )
    mentioned = pl.col("num_mentions") + config.prior_reviews * pl.col("share")
    silent = pl.col("num_reviews") + config.prior_reviews - mentioned
    odds = pl.col("share") / (1.0 - pl.col("share"))
    return (
        of_users.join(crowd, on="aspect")
        .join(written, on="user_id")
        .join(_strictness(mentions), on=["user_id", "aspect"], how="left")
        .select(
            "user_id",
            "aspect",
            pl.col("num_mentions", "num_reviews").cast(pl.Int64),
            "polarity_mean",
            emphasis=(mentioned / silent).log() - odds.log(),
            strictness="strictness",
        )
        .sort(["user_id", "emphasis", "aspect"], descending=[False, True, False])
    )


def user_complaints(mentions: pl.DataFrame) -> pl.DataFrame:
    """Return what users said of aspects that they have complained of, praise among it.

    Args:
        mentions: What `aspect_mentions` returns.

    Returns:
        `user_id, aspect, polarity, event_time`, sorted by user, aspect and time.
    """
    has_complained = (pl.col("polarity") < 0).any().over("user_id", "aspect")
    columns = ("user_id", "aspect", "polarity", "event_time")
    return mentions.filter(has_complained).select(columns).sort("user_id", "aspect", "event_time")


def _strictness(mentions: pl.DataFrame) -> pl.DataFrame:
    """Return `user_id, aspect, strictness` where others mentioned the aspect of the same items."""
    of_item = ["item_id", "aspect"]
    others = (
        mentions.drop_nulls("item_id")
        .with_columns(
            of_others=pl.col("polarity").sum().over(of_item)
            - pl.col("polarity").sum().over([*of_item, "user_id"]),
            num_others=pl.len().over(of_item) - pl.len().over([*of_item, "user_id"]),
        )
        .filter(pl.col("num_others") > 0)
        .with_columns(below=pl.col("of_others") / pl.col("num_others") - pl.col("polarity"))
    )
    groups = others.group_by("user_id", "aspect").agg(*_moments("below", _MENTIONS))
    prior = group_prior(groups, _MENTIONS)
    return groups.select("user_id", "aspect", strictness=prior.mean_of(_MENTIONS))


def _beyond_the_aspect(mentions: pl.DataFrame) -> pl.DataFrame:
    """Add `expected`, the shrunk polarity of the aspect anywhere, and what is `beyond` it."""
    of_aspects = mentions.group_by("aspect").agg(*_moments("polarity", _MENTIONS))
    prior: GroupPrior = group_prior(of_aspects, _MENTIONS)
    expected = of_aspects.select("aspect", expected=prior.mean_of(_MENTIONS))
    return mentions.join(expected, on="aspect").with_columns(
        beyond=pl.col("polarity") - pl.col("expected")
    )


def _moments(value: str, names: Moments) -> list[pl.Expr]:
    return [
        pl.len().alias(names.count),
        pl.col(value).sum().alias(names.total),
        (pl.col(value) ** 2).sum().alias(names.squares),
    ]
