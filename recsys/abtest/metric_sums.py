"""What estimates need of a metric, as whole numbers: counts, sums, squares and cross products.

Whole numbers of 128 bits add up to the same in any order, so that users may be read in parts and
the parts in any order: the sums, and all that follows from them, are the same to the last bit. A
winsorised column is two whole ones, the sums that are not cut and whether a sum is cut; the cap,
which is no whole number, multiplies the second when everything is summed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl

from recsys.abtest.estimates import Moments
from recsys.abtest.outcomes import Measure, measures_of
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import EXPOSURE, MetricSection

_EVENTS = "events"


@dataclass(frozen=True, kw_only=True)
class Column:
    """Numbers of users that are summed.

    Attributes:
        name: `top`, `bottom`, `before` or `bottom_before`.
        source: The column of users, whole numbers.
        unit: How many of them make one.
        is_indicator: Whether only counts that it is above zero.
        cap: What it is cut to, in the metric's units; None where it is not.
    """

    name: str
    source: str
    unit: int = 1
    is_indicator: bool = False
    cap: float | None = None

    def wholes(self) -> dict[str, pl.Expr]:
        """Return the whole columns that it is made of."""
        value = pl.col(self.source).cast(pl.Int64)
        if self.is_indicator:
            return {self.name: (value > 0).cast(pl.Int64)}
        if self.cap is None:
            return {self.name: value}
        is_cut = value / self.unit > self.cap
        return {
            self.name: pl.when(is_cut).then(0).otherwise(value),
            f"{self.name}_cut": is_cut.cast(pl.Int64),
        }

    def weights(self) -> dict[str, Fraction]:
        """Return what each whole column counts."""
        found = {self.name: Fraction(1, 1 if self.is_indicator else self.unit)}
        if self.cap is not None:
            found[f"{self.name}_cut"] = Fraction(self.cap)
        return found


def columns_of(
    metric: MetricSection, plan: Plan, caps: tuple[float | None, float | None] = (None, None)
) -> list[Column]:
    """Return what is summed for a metric, with what sums after and before are cut to."""
    found = [
        _column("top", metric.numerator, "after", metric, plan, caps[0]),
        _column("before", metric.numerator, "before", metric, plan, caps[1]),
    ]
    if metric.denominator is None:
        return found
    if metric.denominator[0] == EXPOSURE:
        return [*found, Column(name="bottom", source="num_exposures")]
    return [
        *found,
        _column("bottom", metric.denominator, "after", None, plan, None),
        _column("bottom_before", metric.denominator, "before", None, plan, None),
    ]


def events_before() -> list[Column]:
    """Return what is summed of all events before the first exposure."""
    return [Column(name="before", source="num_before")]


def summed(users: pl.DataFrame, columns: Sequence[Column], label: pl.Series | None) -> pl.DataFrame:
    """Sum users of each arm, and of each label.

    Args:
        users: See `recsys.abtest.outcomes.Outcomes`.
        columns: What is summed.
        label: Of each user; None where all belong together.

    Returns:
        `arm, label, num` and sums of whole columns and of their products.
    """
    wholes: dict[str, pl.Expr] = {}
    for column in columns:
        wholes |= column.wholes()
    names = list(wholes)
    group = pl.lit("") if label is None else label.cast(pl.String)
    frame = users.lazy().select("arm", group.alias("label"), **wholes)
    products = [
        (pl.col(a).cast(pl.Int128) * pl.col(b)).sum().alias(f"{a}*{b}") for a, b in _pairs(names)
    ]
    sums = [pl.col(name).cast(pl.Int128).sum() for name in names]
    by_group = frame.group_by("arm", "label").agg(
        pl.len().cast(pl.Int64).alias("num"), *sums, *products
    )
    return by_group.collect(engine="streaming")


@dataclass(frozen=True, kw_only=True)
class MetricSums:
    """The sums of a metric over the users of both arms and, where there are labels, of each.

    Attributes:
        metric: Which one; None for all events.
        columns: What was summed.
        rows: The sums of an arm and a label.
        cap: What sums after the exposure were cut to; None where they were not.
    """

    metric: MetricSection | None
    columns: Sequence[Column]
    rows: dict[tuple[int, str], dict[str, int]]
    cap: float | None = None

    @classmethod
    def of(
        cls, parts: Sequence[pl.DataFrame], columns: Sequence[Column], metric: MetricSection | None
    ) -> "MetricSums":
        """Add up the sums of parts, see `summed`."""
        whole = pl.concat(parts).group_by("arm", "label").sum()
        rows = {(row.pop("arm"), row.pop("label")): row for row in whole.iter_rows(named=True)}
        return cls(metric=metric, columns=columns, rows=rows, cap=columns[0].cap)

    @property
    def name(self) -> str:
        """Of the metric."""
        return _EVENTS if self.metric is None else self.metric.name

    @property
    def labels(self) -> list[str]:
        """All labels, sorted."""
        return sorted({label for _, label in self.rows})

    @property
    def is_ratio(self) -> bool:
        """Whether there is a denominator."""
        return any(column.name == "bottom" for column in self.columns)

    @property
    def has_past(self) -> bool:
        """Whether CUPED has a covariate for it; exposures have no past."""
        return not self.is_ratio or any(c.name == "bottom_before" for c in self.columns)

    def num(self, arm: int, label: str = "") -> int:
        """Return the number of users."""
        return self.rows.get((arm, label), {"num": 0})["num"]

    def occurs(self, name: str) -> bool:
        """Return whether a column is not zero for all users."""
        wholes = next(c for c in self.columns if c.name == name).weights()
        return any(row[f"{whole}*{whole}"] > 0 for row in self.rows.values() for whole in wholes)

    def moments(self, arm: int, label: str = "", *, with_past: bool = False) -> Moments:
        """Measure users: numerator, denominator, and if asked for those before."""
        names = ["top", "bottom", *(["before", "bottom_before"] if with_past else [])]
        there = {column.name for column in self.columns}
        return self.moments_of([name for name in names if name in there], arm, label)

    def moments_of(self, names: Sequence[str], arm: int, label: str = "") -> Moments:
        """Measure some columns, exact until the last step."""
        weights = [next(c for c in self.columns if c.name == n).weights() for n in names]
        size, num = len(names), self.num(arm, label)
        covariance = np.zeros((size, size))
        if not num:
            return Moments(0, np.zeros(size), covariance)
        row = self.rows[arm, label]
        sums = [sum((w * row[n] for n, w in each.items()), Fraction(0)) for each in weights]
        for i in range(size):
            for j in range(i + 1):
                product = sum(
                    (
                        v * w * (row[f"{a}*{b}"] if f"{a}*{b}" in row else row[f"{b}*{a}"])
                        for a, v in weights[i].items()
                        for b, w in weights[j].items()
                    ),
                    Fraction(0),
                )
                centred = (product - sums[i] * sums[j] / num) / max(1, num - 1)
                covariance[i, j] = covariance[j, i] = float(centred)
        return Moments(num, np.array([float(total / num) for total in sums]), covariance)


def _column(
    name: str,
    measure: tuple[str, str],
    when: str,
    metric: MetricSection | None,
    plan: Plan,
    cap: float | None,
) -> Column:
    measures = measures_of(plan.metrics)
    return Column(
        name=name,
        source=f"{when}_{measures.index(Measure(*measure))}",
        unit=Measure(*measure).unit,
        is_indicator=metric is not None and metric.kind == "conversion",
        cap=cap,
    )


def _pairs(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place, name in enumerate(names):
        for other in names[place:]:
            yield name, other
