"""What a feature is: declared once, and read from sums that are kept by key and day.

A measure says what is summed over events; a feature is an expression over sums of measures, over
the whole past or a window. Profiles, their documentation and their tests come from the same
declarations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

Scope = Literal["user", "item"]
How = Literal["sum", "min", "max"]
_ALL = "all"


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
class Feature:
    """One column of a profile.

    Attributes:
        name: The column.
        scope: Whose profile it is in.
        dtype: Of the column.
        unit: Of its values.
        value: Expression over `total` of measures and the column `as_of`.
        meaning: What it says, in one line; what null means where it can be null.
        default: Of a key without any event, and wherever `value` is null.
    """

    name: str
    scope: Scope
    dtype: pl.DataType | type[pl.DataType]
    unit: str
    value: pl.Expr
    meaning: str
    default: float | None = None

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
    def window_days(self) -> int | None:
        """The longest window it reads, None where that is the whole past."""
        windows = [window for _, window in self.totals]
        return None if None in windows else max(windows, default=None)  # type: ignore[type-var]

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
    if days is None:
        return pl.col(f"{measure.name}@{_ALL}")
    if measure.how != "sum" or days < 1:
        raise ValueError(f"a window needs a sum and at least one day: {measure.name}, {days}")
    return pl.col(f"{measure.name}@{days}")


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
