"""A user's declared features within a request: kept sums and fresh ones, in memory.

What the batch reads from frames of all users is read here from the rows of one: sums by day in
NumPy, then the same declared expressions over a frame of one row. Fresh events and reviews are
summed up when they arrive (`features.day_state.day_state`), not when somebody asks.

Levels are shrunk by the priors of the last build: how users differ does not change within a day.

Shape suffixes: D days, M measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from features.day_state import DAY
from features.feature import Feature, Level, Measure, evaluated, total_column, totals_of
from features.levels import level_columns
from features.shrinkage import GroupPrior

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class DaySums:
    """The rows of one key in a state of `features.day_state`.

    Attributes:
        days: Days since 1970, sorted, int64, shape (D,).
        sums: Measures by day, times as microseconds since 1970, NaN where there is none, float64,
            shape (D, M).
    """

    days: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, rows: pl.DataFrame, measures: Sequence[Measure]) -> "DaySums":
        """Read the rows of one key: `day` and a column a measure, in any order."""
        ordered = rows.sort(DAY)
        columns = [
            ordered[measure.name].to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
            for measure in measures
        ]
        sums = np.stack(columns, axis=1) if columns else np.empty((len(ordered), 0))
        return cls(ordered[DAY].to_physical().cast(pl.Int64).to_numpy(), sums)

    def plus(self, fresh: "DaySums", measures: Sequence[Measure]) -> "DaySums":
        """Return both put together, as `features.day_state.merged` does."""
        days, place = np.unique(np.concatenate([self.days, fresh.days]), return_inverse=True)
        rows = np.concatenate([self.sums, fresh.sums])
        sums = np.full((len(days), rows.shape[1]), np.nan)
        for column, measure in enumerate(measures):
            for day in range(len(days)):
                sums[day, column] = _gathered(rows[place == day, column], measure)
        return DaySums(days, sums)


@dataclass(frozen=True, kw_only=True)
class LiveReader:
    """Reads declared features of one key from its sums.

    Attributes:
        measures: What the sums are of, in order.
        types: Type of each measure in the state, by name.
        features: What to read.
        levels: Those that the features read.
        priors: By name of a level.
    """

    measures: Sequence[Measure]
    types: Mapping[str, pl.DataType]
    features: Sequence[Feature]
    levels: Sequence[Level] = ()
    priors: Mapping[str, GroupPrior] = field(default_factory=dict)

    def read(self, sums: DaySums, as_of: datetime) -> dict[str, Any]:
        """Return the features by name; of a key without any row their defaults.

        Args:
            sums: Of rows before `as_of`.
            as_of: Reference of windows and ages.
        """
        if not len(sums.days):
            return {feature.name: feature.default for feature in self.features}
        kept = {measure.name: place for place, measure in enumerate(self.measures)}
        today = (as_of - _EPOCH).days
        columns = []
        for name, window in self._totals:
            place = kept[name]
            rows = slice(None) if window is None else sums.days >= today - window
            value = _gathered(sums.sums[rows, place], self.measures[place])
            columns.append(_one(total_column(name, window), value, self.types[name]))
        frame = pl.DataFrame(columns).with_columns(as_of=pl.lit(as_of))
        for level in self.levels:
            frame = frame.with_columns(level_columns(level, self.priors[level.name]))
        return evaluated(frame.lazy(), [], self.features).collect().row(0, named=True)

    @cached_property
    def _totals(self) -> list[tuple[str, int | None]]:
        return totals_of(self.features, self.levels)


def _gathered(values: np.ndarray, measure: Measure) -> float:
    """Return the values of one measure put together; a sum of none is 0, else NaN."""
    known = values[~np.isnan(values)]
    if measure.how == "sum":
        return float(known.sum())
    if not len(known):
        return float("nan")
    return float(known.min() if measure.how == "min" else known.max())


def _one(name: str, value: float, kind: pl.DataType) -> pl.Series:
    """Return a series of one value."""
    if np.isnan(value):
        return pl.Series(name, [None], dtype=kind)
    if isinstance(kind, pl.Datetime):
        return pl.Series(name, [round(value)], dtype=pl.Int64).cast(kind)
    return pl.Series(name, [round(value) if kind.is_integer() else value], dtype=kind)
