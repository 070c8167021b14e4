"""What a user turns to: categories, brands, price bands, hours, languages; old events fade.

An affinity is a sum of weights that halve every so many days. What is kept is the sum as of its
latest event, and when that was: such sums merge in any order, and fade on to any later time. It is
kept of items; their categories and prices, which may change, are told when it is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

KINDS = ("category", "brand", "price_band", "hour", "weekday", "language")
PRICE_BANDS = ("lowest", "low", "middle", "high", "highest")
EVENT_WEIGHTS = {"view": 1.0, "click": 1.0, "wishlist": 2.0, "cart": 3.0, "purchase": 5.0}
NUM_FAVOURITES = 3
_ITEM = "item"
_KEYS = ("user_id", "kind", "value")
_LN2 = 0.6931471805599453


@dataclass(frozen=True, kw_only=True)
class AffinityConfig:
    """How events count.

    Attributes:
        half_life_days: After so many days an event counts half, above 0.
        weights: Of an event by its type, above 0; other types say nothing.
    """

    half_life_days: float = 90.0
    weights: Mapping[str, float] = field(default_factory=lambda: EVENT_WEIGHTS)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.half_life_days > 0:
            raise ValueError(f"half_life_days must be above 0, not {self.half_life_days}")
        if not all(weight > 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be above 0: {dict(self.weights)}")


def price_positions(items: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """Return where the price of each item lies in its narrowest category, among its currency.

    Args:
        items: `features.schema.Items`.
        as_of: Items made later have no price yet; prices themselves are today's.

    Returns:
        `item_id, price_position` (the share of the category's prices that are below it, itself and
        its equals by half, within 0..1) and `price_band`, its fifth, of `PRICE_BANDS`; null without
        a price or a category.
    """
    category = pl.col("categories").list.last()
    is_made = pl.col("created_at").is_null() | (pl.col("created_at") < as_of)
    price, kin = pl.when(is_made).then("price_cents"), [category, pl.col("currency")]
    position = (price.rank("average") - 0.5).over(kin) / price.count().over(kin)
    fifth = (pl.col("price_position") * len(PRICE_BANDS)).floor().cast(pl.Int64)
    bands = dict(enumerate(PRICE_BANDS))
    return items.select(
        "item_id", price_position=pl.when(category.is_not_null()).then(position)
    ).with_columns(price_band=fifth.replace_strict(bands, default=None, return_dtype=pl.String))


def affinity_state(
    events: pl.LazyFrame, written: pl.LazyFrame, config: AffinityConfig = AffinityConfig()
) -> pl.LazyFrame:
    """Sum up what events and texts say.

    Args:
        events: `user_id, item_id, event_type, event_time`.
        written: `user_id, event_time, language` of each text, null or `und` where it is unknown.
        config: How events count.

    Returns:
        `user_id, kind` (`item`, `hour`, `weekday` or `language`), `value`, `weight` as of
        `last_time`, the latest of its events. Hours and weekdays (1 is Monday) are those of UTC.
    """
    weighed = events.select(
        "user_id",
        item=pl.col("item_id"),
        hour=pl.col("event_time").dt.hour(),
        weekday=pl.col("event_time").dt.weekday(),
        last_time="event_time",
        weight=pl.col("event_type").replace_strict(
            dict(config.weights), default=None, return_dtype=pl.Float64
        ),
    ).drop_nulls(["weight"])
    spoken = written.filter(pl.col("language") != "und").select(
        "user_id", "language", last_time="event_time", weight=pl.lit(1.0)
    )
    parts = [_of_kind(weighed, kind) for kind in (_ITEM, "hour", "weekday")]
    return merged_affinities([*parts, _of_kind(spoken, "language")], config)


def merged_affinities(
    states: Sequence[pl.LazyFrame], config: AffinityConfig = AffinityConfig()
) -> pl.LazyFrame:
    """Put states of disjoint sets of events together; the order does not matter."""
    return _faded(pl.concat(states), config)


def read_affinities(
    state: pl.LazyFrame,
    items: pl.LazyFrame,
    as_of: datetime,
    config: AffinityConfig = AffinityConfig(),
) -> pl.LazyFrame:
    """Fade what is kept on to a time, and tell items by what they are.

    Args:
        state: Of events before `as_of`.
        items: `features.schema.Items`, as they are now.
        as_of: When.
        config: The same as the state was made with.

    Returns:
        `user_id, kind` (of `KINDS`), `value, weight, share` of the weights of its kind, within
        0..1; sorted by user, kind, the strongest first. An item counts in each of its categories.
    """
    weight = pl.col("weight") * _halvings(pl.lit(as_of) - pl.col("last_time"), config)
    faded = state.with_columns(weight, last_time=pl.lit(as_of))
    is_item = pl.col("kind") == _ITEM
    told = (
        faded.filter(is_item)
        .select("user_id", "weight", "last_time", item_id="value")
        .join(
            items.select("item_id", "brand", category=pl.col("categories").list.unique()),
            on="item_id",
        )
        .join(price_positions(items, as_of), on="item_id")
    )
    parts = [
        faded.filter(~is_item).select(*_KEYS, "weight", "last_time"),
        _of_kind(told.explode("category", keep_nulls=False, empty_as_null=False), "category"),
        _of_kind(told, "brand"),
        _of_kind(told, "price_band"),
    ]
    return (
        pl.concat(parts)
        .group_by(_KEYS)
        .agg(pl.col("weight").sum())
        .with_columns(share=_share(pl.col("weight")))
        .sort([*_KEYS[:2], "weight", "value"], descending=[False, False, True, False])
    )


def favourites(affinities: pl.LazyFrame) -> pl.LazyFrame:
    """Return `user_id` and the strongest of what `read_affinities` returns.

    `favourite_categories`, `favourite_brands`: up to three, the strongest first; `price_band`,
    `active_hour`, `active_weekday`, `language`: the strongest; null where nothing is known.
    """
    first = (
        affinities.group_by("user_id", "kind", maintain_order=True)
        .agg(pl.col("value").head(NUM_FAVOURITES))
        .collect()
    )
    lists = first.pivot("kind", index="user_id", values="value")
    missing = [kind for kind in KINDS if kind not in lists.columns]
    whole = lists.with_columns(
        pl.lit(None, dtype=pl.List(pl.String)).alias(kind) for kind in missing
    )
    return whole.lazy().select(
        "user_id",
        favourite_categories="category",
        favourite_brands="brand",
        price_band=pl.col("price_band").list.first(),
        active_hour=pl.col("hour").list.first().cast(pl.Int64),
        active_weekday=pl.col("weekday").list.first().cast(pl.Int64),
        language=pl.col("language").list.first(),
    )


def _of_kind(rows: pl.LazyFrame, kind: str) -> pl.LazyFrame:
    return rows.select(
        "user_id",
        kind=pl.lit(kind),
        value=pl.col(kind).cast(pl.String),
        weight="weight",
        last_time="last_time",
    ).drop_nulls("value")


def _faded(rows: pl.LazyFrame, config: AffinityConfig) -> pl.LazyFrame:
    """Sum `weight` by the keys, each faded from its `last_time` on to the latest of its group."""
    last = pl.col("last_time")
    return rows.group_by(_KEYS).agg(
        weight=(pl.col("weight") * _halvings(last.max() - last, config)).sum(), last_time=last.max()
    )


def _halvings(age: pl.Expr, config: AffinityConfig) -> pl.Expr:
    days = age.dt.total_microseconds() / 86_400e6
    return (-days * (_LN2 / config.half_life_days)).exp()


def _share(weight: pl.Expr) -> pl.Expr:
    of_kind = weight.sum().over("user_id", "kind")
    return pl.when(of_kind > 0).then(weight / of_kind)
