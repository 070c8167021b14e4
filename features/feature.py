"""What a feature is: declared once, and read from sums that are kept by key and day.

A measure says what is summed over events; a feature is an expression over sums of measures, over
the whole past or a window. Profiles, their documentation and their tests come from the same
declarations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from features.shrinkage import Moments

Scope = Literal["user", "item"]
How = Literal["sum", "min", "max"]
Offer = Literal["level", "low", "high", "own_share", "borrowed_from", "noise"]
_ALL = "all"
_OFFER = "~"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What is kept of the events of a key on one UTC day.

    Attributes:
        name: Column of the kept state.
        value: Of one event; null counts nothing.
        how: How the values of a day, and days, are put together.
    """

    name: str
    value: pl.Expr
    how: How = "sum"

    def gathered(self, value: pl.Expr) -> pl.Expr:
        """Return the values of many rows put together; a sum of none is 0."""
        return {"sum": value.sum, "min": value.min, "max": value.max}[self.how]()


@dataclass(frozen=True, kw_only=True)
class Level:
    """A mean of what was observed of a key, as `features.levels` expects it of few observations.

    It offers `level`, the ends `low` and `high` of its 95% interval, `own_share` (how much of it is
    the key's own and not what is expected of it, within 0..1), `borrowed_from` (null with an
    observation of its own, else the parent whose mean it is, or the whole shop) and `noise` (the
    standard deviation of one observation about the level of its key).

    Attributes:
        name: Before `~` and the offer in the names of columns.
        count: Observations, a sum.
        total: Their sum.
        squares: Sum of their squares.
        low: The least value there is.
        high: The greatest.
    """

    name: str
    count: Measure
    total: Measure
    squares: Measure
    low: float
    high: float

    @property
    def moments(self) -> Moments:
        """The columns of its totals."""
        return Moments(
            count=total_column(self.count.name, None),
            total=total_column(self.total.name, None),
            squares=total_column(self.squares.name, None),
        )

    @property
    def totals(self) -> list[tuple[str, int | None]]:
        """The measures it needs; see `Feature.totals`."""
        return [(measure.name, None) for measure in (self.count, self.total, self.squares)]

    def column(self, offer: Offer) -> str:
        """Return the column of what it offers."""
        return f"{self.name}{_OFFER}{offer}"

    def offer(self, offer: Offer = "level") -> pl.Expr:
        """Return what it offers, for the expression of a feature."""
        return pl.col(self.column(offer))


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of a profile.

    Attributes:
        name: The column.
        scope: Whose profile it is in.
        dtype: Of the column.
        unit: Of its values.
        value: Expression over `total` of measures, `Level.offer`, and the column `as_of`.
        meaning: What it says, in one line; what null means where it can be null.
        default: Of a key without any event, and wherever `value` is null.
    """

    name: str
    scope: Scope
    dtype: pl.DataType | type[pl.DataType]
    unit: str
    value: pl.Expr
    meaning: str
    default: float | str | None = None

    @property
    def totals(self) -> list[tuple[str, int | None]]:
        """The measures it reads, each with its window in days, None for the whole past."""
        found = []
        for column in dict.fromkeys(self.value.meta.root_names()):
            measure, at, window = column.partition("@")
            if at:
                found.append((measure, None if window == _ALL else int(window)))
        return found

    @property
    def levels(self) -> list[str]:
        """The names of the levels it reads."""
        split = (column.partition(_OFFER) for column in self.value.meta.root_names())
        return list(dict.fromkeys(name for name, offer, _ in split if offer))

    @property
    def window_days(self) -> int | None:
        """The longest window it reads, None where that is the whole past."""
        windows = [window for _, window in self.totals]
        if self.levels or None in windows:
            return None
        return max(windows, default=None)  # type: ignore[type-var]

    def described(self) -> dict[str, Any]:
        """Return the declaration as plain values."""
        return {
            "name": self.name,
            "scope": self.scope,
            "dtype": str(self.dtype),
            "unit": self.unit,
            "window_days": self.window_days,
            "default": self.default,
            "meaning": self.meaning,
        }


def total(measure: Measure, days: int | None = None) -> pl.Expr:
    """Return all that is kept of a measure, or of the last days.

    Args:
        measure: What.
        days: The UTC day of `as_of` until `as_of`, and so many whole days before it; None for the
            whole past. For sums only.

    Raises:
        ValueError: If another measure than a sum is cut to a window.
    """
    if days is not None and (measure.how != "sum" or days < 1):
        raise ValueError(f"a window needs a sum and at least one day: {measure.name}, {days}")
    return pl.col(total_column(measure.name, days))


def total_column(measure: str, days: int | None) -> str:
    """Return the column of a total; see `total`."""
    return f"{measure}@{_ALL if days is None else days}"


def totals_of(
    features: Sequence[Feature], levels: Sequence[Level] = ()
) -> list[tuple[str, int | None]]:
    """Return all that features, and the levels they read, need; see `Feature.totals`."""
    readers = (*features, *levels)
    return list(dict.fromkeys(total for reader in readers for total in reader.totals))


def ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Return a share, null where there is nothing to divide by."""
    return pl.when(denominator > 0).then(numerator / denominator)


def days_since(moment: pl.Expr) -> pl.Expr:
    """Return how long before `as_of` something was, in days; null where it never was."""
    return (pl.col("as_of") - moment).dt.total_microseconds() / 86_400e6


def filled(frame: pl.LazyFrame, features: Sequence[Feature]) -> pl.LazyFrame:
    """Give the features of a frame, or those that it lacks values of, their defaults and types."""
    return frame.with_columns(
        pl.col(feature.name).fill_null(pl.lit(feature.default)).cast(feature.dtype)
        for feature in features
    )


def evaluated(
    totals: pl.LazyFrame, keep: Sequence[str], features: Sequence[Feature]
) -> pl.LazyFrame:
    """Return the columns to keep and the features, of a frame with `as_of` and all they read."""
    return filled(
        totals.select(*keep, *(feature.value.alias(feature.name) for feature in features)), features
    )
