"""What is counted: who judged an item, whether they were negative, and of what they complained."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from features.opinion import JUDGING_SOURCES, NEGATIVE_BELOW

ITEM, BRAND, CATEGORY = "item", "brand", "category"
SCOPES = (ITEM, BRAND, CATEGORY)
LEAST_SIBLINGS = 5
HEARD_AGAIN_DAYS = 365
"""Who judged an item is heard of it again after so long without another judgement of it."""
_NEGATIVE_STARS = 2.0
_WORST_STARS, _WORST_BELOW = 1.0, -0.8
US_PER_DAY = 86_400_000_000
JUDGED = (
    "review_id",
    "user_id",
    "item_id",
    "day",
    "heard_day",
    "event_time",
    "negative",
    "worst",
    "after_return",
)
_OF_SALE = ["user_id", "item_id"]


@dataclass(frozen=True, kw_only=True)
class Opinions:
    """Judgements of items, and complaints in them.

    Attributes:
        judged: `JUDGED`; one a user and item in any `HEARD_AGAIN_DAYS`, the first. `heard_day` is
            the day of the review since 1970, int32; `day` that on which the thing was bought, where
            that is known, else the same. `worst` are negative ones that could not be worse;
            `after_return` are of somebody who had sent the thing back before.
        complaints: `review_id, aspect`: aspects that a judgement speaks badly of.
        sales: `item_id, day, left_day, returned`: what each user bought first of an item, and the
            day of the review or return that came first, since 1970, null for neither.
    """

    judged: pl.DataFrame
    complaints: pl.DataFrame
    sales: pl.DataFrame

    def without_items(self, item_ids: Collection[str]) -> "Opinions":
        """Return what is left without the judgements of some items."""
        if not item_ids:
            return self
        named = pl.col("item_id").is_in(list(item_ids))
        return replace(self, judged=self.judged.filter(~named), sales=self.sales.filter(~named))

    def without_days(self, days: pl.DataFrame) -> "Opinions":
        """Return what is left without some days of some items: `key, first, last`."""
        if days.is_empty():
            return self
        of_items = days.select("key", "first", "last")
        return replace(
            self,
            judged=outside(self.judged, of_items, "item_id"),
            sales=outside(self.sales, of_items, "item_id"),
        )

    def without_reviews(self, review_ids: Collection[str]) -> "Opinions":
        """Return what is left without some judgements."""
        if not review_ids:
            return self
        named = pl.col("review_id").is_in(list(review_ids))
        return replace(self, judged=self.judged.filter(~named))


def opinions(
    reviews: pl.LazyFrame, signals: pl.LazyFrame, events: pl.LazyFrame | None = None
) -> Opinions:
    """Tell negative judgements from others.

    What is wrong with things is wrong from a day of sale on, and reviews of things sold before
    come in for weeks after it: where the purchase is known, its day counts.

    A text is negative where its polarity is below `features.opinion.NEGATIVE_BELOW`; stars without
    a text are where they are two or fewer. The worst of them have a polarity below -0.8 and no more
    than one star, or whichever of the two there is. Somebody who judges an item again and again is
    one person, who is heard once: of judgements that follow each other within `HEARD_AGAIN_DAYS`
    the first counts, so that no later one changes what was counted before.

    Args:
        reviews: Visible reviews.
        signals: Of one model version.
        events: Visible events; None where purchases are not known.
    """
    if events is None:
        events = reviews.select("user_id", "item_id", "event_time").with_columns(
            event_type=pl.lit("")
        )
    bought = _first(events, "purchase").rename({"event_time": "bought_at"})
    back = _first(events, "return").rename({"event_time": "back_at"})
    spoken = pl.col("embedding").is_not_null()
    felt = signals.select(
        "review_id",
        polarity=pl.when(spoken).then(pl.col("polarity").cast(pl.Float64)),
        aspects=pl.when(spoken).then("aspects"),
    )
    gap = pl.col("heard_day").diff()
    judged = (
        reviews.filter(pl.col("source").is_in(JUDGING_SOURCES) & pl.col("item_id").is_not_null())
        .select("review_id", "user_id", "item_id", "event_time", "seq", "rating")
        .join(felt, on="review_id", how="left")
        .join(bought, on=_OF_SALE, how="left")
        .join(back, on=_OF_SALE, how="left")
        .with_columns(
            after_return=(pl.col("back_at") < pl.col("event_time")).fill_null(value=False),
            day=_day(pl.min_horizontal("bought_at", "event_time")),
            heard_day=_day(pl.col("event_time")),
            negative=pl.coalesce(
                pl.col("polarity") < NEGATIVE_BELOW, pl.col("rating") <= _NEGATIVE_STARS
            ),
        )
        .drop_nulls("negative")
        .with_columns(
            worst=pl.col("negative")
            & (pl.col("polarity") < _WORST_BELOW).fill_null(value=True)
            & (pl.col("rating") <= _WORST_STARS).fill_null(value=True)
        )
        .sort("event_time", "seq", "review_id")
        .filter((gap.is_null() | (gap > HEARD_AGAIN_DAYS)).over(_OF_SALE))
        .collect()
    )
    aspect = pl.col("aspects").struct
    complaints = (
        judged.lazy()
        .select("review_id", "aspects")
        .explode("aspects", keep_nulls=False, empty_as_null=False)
        .select("review_id", aspect=aspect.field("aspect"), polarity=aspect.field("polarity"))
        .group_by("review_id", "aspect", maintain_order=True)
        .agg(pl.col("polarity").cast(pl.Float64).mean())
        .filter(pl.col("polarity") < NEGATIVE_BELOW)
        .select("review_id", "aspect")
        .sort("review_id", "aspect")
        .collect()
    )
    return Opinions(
        judged=judged.select(JUDGED),
        complaints=complaints,
        sales=_sales(bought, back, judged.lazy()),
    )


def _sales(bought: pl.LazyFrame, back: pl.LazyFrame, judged: pl.LazyFrame) -> pl.DataFrame:
    """Return `Opinions.sales`, in order of day and item."""
    reviewed = judged.group_by(_OF_SALE).agg(reviewed_at=pl.col("event_time").min())
    since = pl.col("bought_at")
    reviewed_at, back_at = (
        pl.when(pl.col(name) >= since).then(name) for name in ("reviewed_at", "back_at")
    )
    return (
        bought.join(reviewed, on=_OF_SALE, how="left")
        .join(back, on=_OF_SALE, how="left")
        .select(
            "item_id",
            day=_day(since),
            left_day=_day(pl.min_horizontal(reviewed_at, back_at)),
            returned=(back_at <= pl.coalesce(reviewed_at, back_at)).fill_null(value=False),
        )
        .sort("day", "item_id", "left_day", "returned")
        .collect()
    )


def _first(events: pl.LazyFrame, kind: str) -> pl.LazyFrame:
    """Return when each user did something with an item first."""
    of_kind = events.filter(pl.col("event_type") == kind, pl.col("item_id").is_not_null())
    return of_kind.group_by(_OF_SALE).agg(pl.col("event_time").min())


def outside(rows: pl.DataFrame, days: pl.DataFrame, key: str = "key") -> pl.DataFrame:
    """Return the rows whose day is in none of `key, first, last`.

    Args:
        rows: With a column `day`.
        days: Of some keys.
        key: Name of the column of keys.
    """
    numbered = rows.with_row_index("row")
    inside = (
        numbered.join(days, left_on=key, right_on="key")
        .filter(pl.col("day").is_between(pl.col("first"), pl.col("last")))
        .select("row")
    )
    return numbered.join(inside, on="row", how="anti", maintain_order="left").drop("row")


def _parents(items: pl.DataFrame) -> pl.DataFrame:
    """Return `item_id, parent`, for items that have a category."""
    each = items.select("item_id", parent="categories", depth=pl.col("categories").list.len())
    each = (
        each.with_columns(depth=pl.int_ranges("depth"))
        .explode("parent", "depth", keep_nulls=False, empty_as_null=False)
        .with_columns(is_large=pl.len().over("parent") >= LEAST_SIBLINGS)
    )
    # The narrowest of the large ones; of small ones the widest.
    rank = pl.when("is_large").then(pl.col("depth") + 1).otherwise(-pl.col("depth"))
    return (
        each.with_columns(rank=rank)
        .sort("item_id", "rank", descending=[False, True])
        .unique("item_id", keep="first", maintain_order=True)
        .select("item_id", "parent")
    )


def _day(moment: pl.Expr) -> pl.Expr:
    return (moment.dt.epoch("us") // US_PER_DAY).cast(pl.Int32)


def subjects_of(items: pl.DataFrame, scope: str) -> pl.DataFrame:
    """Return `item_id, key, parent`: what an item counts for in a scope.

    An item counts for itself, under its narrowest category of at least `LEAST_SIBLINGS` items, else
    under its widest; for its brand; for each of its categories.

    Raises:
        ValueError: If the scope is none of `SCOPES`.
    """
    if scope == ITEM:
        return items.select("item_id", key="item_id").join(
            _parents(items), on="item_id", how="left", maintain_order="left"
        )
    none = pl.lit(None, dtype=pl.String)
    if scope == BRAND:
        return items.select("item_id", key="brand", parent=none).drop_nulls("key")
    if scope == CATEGORY:
        each = items.select("item_id", key=pl.col("categories").list.unique(maintain_order=True))
        return each.explode("key", keep_nulls=False, empty_as_null=False).select(
            "item_id", "key", parent=none
        )
    raise ValueError(f"scope must be one of {', '.join(SCOPES)}, not {scope!r}")


def day_of(moment: datetime) -> int:
    """Return the day of a moment, counted from 1970 in UTC.

    >>> day_of(datetime(1970, 1, 2, 12, tzinfo=UTC))
    1
    """
    return int(moment.astimezone(UTC).timestamp() // 86400)


def moment_of(day: int) -> datetime:
    """Return when a day begins, in UTC.

    >>> moment_of(1).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return datetime.fromtimestamp(86400 * day, UTC)
