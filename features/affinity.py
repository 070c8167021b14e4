"""What a user turns to: categories, brands, price bands, hours, languages; old events fade.

An affinity is a sum of weights that halve every so many days. What is kept are such sums as of
`REFERENCE`, whatever the time of reading: so they only add up, in any order, and fade to any time
by one factor. They are kept of items; what an item is, which may change, is told when they are
read, as a product of two sparse matrices.

Shape suffixes: U users, V values of all kinds, K kinds, S sources (items, hours of a week,
languages).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import scipy.sparse as sp

from features.prices import price_positions

KINDS = ("category", "brand", "price_band", "hour", "weekday", "language")
EVENT_WEIGHTS = {"view": 1.0, "click": 1.0, "wishlist": 2.0, "cart": 3.0, "purchase": 5.0}
NUM_FAVOURITES = 3
REFERENCE = datetime(2020, 1, 1, tzinfo=UTC)
# Weights of 1970 to 2100 as of the reference stay within float64.
_LEAST_HALF_LIFE = 30.0
_LN2 = math.log(2.0)
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class AffinityConfig:
    """How events count.

    Attributes:
        half_life_days: After so many days an event counts half, at least 30.
        weights: Of an event by its type, above 0; other types say nothing.
    """

    half_life_days: float = 90.0
    weights: Mapping[str, float] = field(default_factory=lambda: EVENT_WEIGHTS)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.half_life_days >= _LEAST_HALF_LIFE:
            raise ValueError(
                f"half_life_days must be at least {_LEAST_HALF_LIFE:g}, not {self.half_life_days}"
            )
        if not all(weight > 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be above 0: {dict(self.weights)}")


def turned_to(events: pl.LazyFrame, config: AffinityConfig = AffinityConfig()) -> pl.LazyFrame:
    """Return how much users turn to items: `user_id, item_id, weight` as of `REFERENCE`.

    Args:
        events: `user_id, item_id, event_type, event_time`.
        config: How events count.
    """
    return summed_weights(_weighed(events, config).select("user_id", "item_id", "weight"))


def active_hours(events: pl.LazyFrame, config: AffinityConfig = AffinityConfig()) -> pl.LazyFrame:
    """Return when users are active: `user_id, hour_of_week, weight` as of `REFERENCE`.

    Args:
        events: `user_id, event_type, event_time`.
        config: How events count.

    Returns:
        Hours of the week are those of UTC, from 0, when Monday begins, to 167.
    """
    time = pl.col("event_time")
    hour = (time.dt.weekday().cast(pl.Int16) - 1) * 24 + time.dt.hour().cast(pl.Int16)
    return summed_weights(_weighed(events, config).select("user_id", "weight", hour_of_week=hour))


def languages_used(
    written: pl.LazyFrame, config: AffinityConfig = AffinityConfig()
) -> pl.LazyFrame:
    """Return what users write in: `user_id, language, weight` as of `REFERENCE`.

    Args:
        written: `user_id, event_time, language` of each text, null or `und` where it is unknown.
        config: How texts fade; each counts 1.
    """
    known = written.filter(pl.col("language") != "und")
    return summed_weights(known.select("user_id", "language", weight=_unfaded(config)))


def summed_weights(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Sum `weight` by all other columns: states put together, in any order."""
    return rows.group_by(pl.exclude("weight")).agg(pl.col("weight").sum())


def read_affinities(
    turned: pl.LazyFrame,
    active: pl.LazyFrame,
    spoken: pl.LazyFrame,
    items: pl.LazyFrame,
    as_of: datetime,
    config: AffinityConfig = AffinityConfig(),
) -> pl.DataFrame:
    """Fade what is kept on to a time, and tell items by what they are.

    Args:
        turned: See `turned_to`; of events before `as_of`, as the others.
        active: See `active_hours`.
        spoken: See `languages_used`.
        items: `features.schema.Items`, as they are now.
        as_of: When.
        config: The same as the state was made with.

    Returns:
        `user_id, kind` (of `KINDS`), `value, weight, share` of the weights of its kind, within
        0..1. An item counts in each of its categories. The values of a user and kind stand
        together, in their order.
    """
    told = (_items_told(items, as_of), _hours_told(), _languages_told(spoken))
    fade = math.exp((REFERENCE - as_of) / _DAY * _LN2 / config.half_life_days)
    return pl.concat(
        _affinities(rows.collect(), keys, fade)
        for rows, keys in zip((turned, active, spoken), told, strict=True)
    )


def favourites(affinities: pl.LazyFrame) -> pl.LazyFrame:
    """Return `user_id` and the strongest of what `read_affinities` returns.

    `favourite_categories`, `favourite_brands`: up to three, the strongest first; `price_band`,
    `active_hour`, `active_weekday`, `language`: the strongest; null where nothing is known. Of
    equals the first in the order of the table.
    """
    strongest = pl.col("value").sort_by("weight", descending=True, maintain_order=True)
    first = (
        affinities.group_by(pl.struct("user_id", "kind").rle_id().alias("run"), maintain_order=True)
        .agg(pl.col("user_id", "kind").first(), strongest.head(NUM_FAVOURITES))
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


def _weighed(events: pl.LazyFrame, config: AffinityConfig) -> pl.LazyFrame:
    weight = pl.col("event_type").replace_strict(
        dict(config.weights), default=None, return_dtype=pl.Float64
    )
    return events.with_columns(weight=weight * _unfaded(config)).drop_nulls("weight")


def _unfaded(config: AffinityConfig) -> pl.Expr:
    """Return what a weight of 1 at `event_time` is as of `REFERENCE`."""
    since = (pl.col("event_time") - REFERENCE).dt.total_microseconds() / 86_400e6
    return (since * (_LN2 / config.half_life_days)).exp()


def _affinities(rows: pl.DataFrame, told: pl.DataFrame, fade: float) -> pl.DataFrame:
    """Return what `read_affinities` does, of one part of the state.

    Args:
        rows: `user_id`, a key and `weight`.
        told: The key, and `kind, value` of what it stands for; keys that are not told are left out.
        fade: What a weight of 1 is at the time of reading.
    """
    key = told.columns[:1]
    users, keys = rows.select("user_id").unique().sort("user_id"), told.select(key).unique()
    values = told.select("kind", "value").unique().sort("kind", "value")
    told_SV = _matrix(told.with_columns(weight=1.0), keys, values)
    weight_UV = sp.csr_array(_matrix(rows, users, keys) @ told_SV)
    weight_UV.sort_indices()
    user, value = weight_UV.tocoo().coords
    weight = np.asarray(weight_UV.data)
    kinds, kind_V = np.unique(values["kind"].to_numpy(), return_inverse=True)
    whole_UK = weight_UV @ np.eye(len(kinds))[kind_V]
    return pl.DataFrame(
        {
            "user_id": users["user_id"].gather(user),
            "kind": values["kind"].gather(value),
            "value": values["value"].gather(value),
            "weight": weight * fade,
            "share": weight / whole_UK[user, kind_V[value]],
        }
    )


def _matrix(cells: pl.DataFrame, rows: pl.DataFrame, columns: pl.DataFrame) -> sp.csr_array:
    """Return the weights of cells; those of a row or column that is not listed are left out."""
    row, column = rows.with_row_index("_row").lazy(), columns.with_row_index("_column").lazy()
    placed = (
        cells.lazy()
        .join(row, on=rows.columns)
        .join(column, on=columns.columns)
        .select("weight", "_row", "_column")
        .collect()
    )
    places = placed["_row"].to_numpy(), placed["_column"].to_numpy()
    return sp.csr_array((placed["weight"].to_numpy(), places), shape=(len(rows), len(columns)))


def _items_told(items: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """Return what each item is: `item_id, kind, value`, each value once."""
    known = items.join(price_positions(items, as_of), on="item_id").collect()
    categories = known.select(
        "item_id", kind=pl.lit("category"), value=pl.col("categories").list.unique()
    ).explode("value")
    others = [
        known.select("item_id", kind=pl.lit(kind), value=kind) for kind in ("brand", "price_band")
    ]
    return pl.concat([categories, *others]).drop_nulls("value")


def _hours_told() -> pl.DataFrame:
    """Return what each hour of a week is: `hour_of_week, kind, value`."""
    hours = pl.DataFrame({"hour_of_week": range(7 * 24)}, schema={"hour_of_week": pl.Int16})
    told = {"hour": pl.col("hour_of_week") % 24, "weekday": pl.col("hour_of_week") // 24 + 1}
    return pl.concat(
        hours.select("hour_of_week", kind=pl.lit(kind), value=value.cast(pl.String))
        for kind, value in told.items()
    )


def _languages_told(spoken: pl.LazyFrame) -> pl.DataFrame:
    """Return `language, kind, value`."""
    told = spoken.select("language", kind=pl.lit("language"), value="language")
    return told.unique().collect()
