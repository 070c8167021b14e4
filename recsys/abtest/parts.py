"""Users in parts: what is read of a part, and what it tells the whole.

All rows of a user, exposures and outcomes, are in one part, so that parts are read without each
other, in any order and on any machine. What they tell are counts and whole sums that add up; the
rows of users stay with the part. Whoever runs the parts gives `Each`: here nothing knows how.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import numpy as np
import polars as pl

from recsys.abtest.days import DaySums, sum_days
from recsys.abtest.enrolled import Enrolled
from recsys.abtest.enrolment import enrol, told_as
from recsys.abtest.metric_sums import Column, events_before, summed
from recsys.abtest.order_statistics import Span, bin_counts, span
from recsys.abtest.outcomes import Measure, event_values, join_outcomes
from recsys.abtest.plan import Plan
from recsys.abtest.segments import Grouping, column_names, labels_of

USERS = "users"


class Part(Protocol):
    """The logs of some users, and a place for what is made of them."""

    def exposures(self) -> pl.LazyFrame:
        """Return their exposures."""
        ...

    def outcomes(self) -> pl.LazyFrame:
        """Return their outcomes."""
        ...

    def keep(self, name: str, frame: pl.DataFrame) -> None:
        """Keep a frame for later calls."""
        ...

    def kept(self, name: str) -> pl.LazyFrame:
        """Return a frame that was kept."""
        ...


# Calls a function with every part and further arguments; returns what each said, in a fixed order.
Each: TypeAlias = Callable[..., list[Any]]


@dataclass(kw_only=True)
class PartInMemory:
    """A part whose frames stay in memory: the only one, of all users."""

    exposures_log: pl.LazyFrame
    outcomes_log: pl.LazyFrame

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self._frames: dict[str, pl.DataFrame] = {}

    def exposures(self) -> pl.LazyFrame:
        """Return the exposures."""
        return self.exposures_log

    def outcomes(self) -> pl.LazyFrame:
        """Return the outcomes."""
        return self.outcomes_log

    def keep(self, name: str, frame: pl.DataFrame) -> None:
        """Keep a frame."""
        self._frames[name] = frame

    def kept(self, name: str) -> pl.LazyFrame:
        """Return a frame."""
        return self._frames[name].lazy()


@dataclass(frozen=True, kw_only=True)
class PartRead:
    """What was read of a part.

    Attributes:
        enrolled: Its users and what was left out.
        counts: Of `recsys.abtest.outcomes.Outcomes`.
        has_pre_period: Whether any user has any event before the first exposure.
        names: How many users each value of a column of segments has.
    """

    enrolled: Enrolled
    counts: dict[str, int]
    has_pre_period: bool
    names: dict[str, Counter[str]]


def read_part(part: Part, plan: Plan, as_of: datetime, columns: Sequence[str]) -> PartRead:
    """Enrol the users of a part and sum what they did; both stay with the part.

    Args:
        part: To be read.
        plan: Of the experiment.
        as_of: Rows at or after it are not used.
        columns: Of exposures, by which users are grouped.

    Raises:
        ExperimentLogError: A column is missing.
    """
    enrolment = enrol(part.exposures(), plan, as_of=as_of, explored=columns, is_part=True)
    outcomes = join_outcomes(part.outcomes(), enrolment, plan, as_of=as_of)
    part.keep(USERS, outcomes.users)
    for place, metric in enumerate(plan.metrics):
        if metric.of == "events":
            measure = Measure(*metric.numerator)
            events = event_values(part.outcomes(), outcomes, measure, plan, as_of=as_of)
            whole = (events["value"] * measure.unit).round().cast(pl.Int64)
            arm = outcomes.users["arm"].gather(events["row"])
            part.keep(events_name(place), events.select("row", arm=arm, whole=whole))
    return PartRead(
        enrolled=Enrolled(
            counts=enrolment.counts,
            num_by_arm=enrolment.num_by_arm,
            first_us=enrolment.first_us,
            days=enrolment.days,
            excluded_by_arm=enrolment.excluded_by_arm,
            chances=enrolment.chances,
        ),
        counts=outcomes.counts,
        has_pre_period=outcomes.has_pre_period,
        names={name: column_names(outcomes.users[told_as(name)]) for name in columns},
    )


def events_name(place: int) -> str:
    """Return the name of the single events of a metric."""
    return f"events of {place}"


@dataclass(frozen=True, kw_only=True)
class UserSums:
    """The sums of a part; see `recsys.abtest.metric_sums.summed`.

    Attributes:
        metrics: Of each metric.
        events: Of all events before the first exposure.
        groups: Of the primary metric in the groups of each grouping.
        strata: Of each metric in the groups of the first one, for post-stratification.
    """

    metrics: list[pl.DataFrame]
    events: pl.DataFrame
    groups: list[pl.DataFrame]
    strata: list[pl.DataFrame]


def sum_users(
    part: Part,
    columns: Sequence[Sequence[Column]],
    primary: Sequence[Column] | None,
    groupings: Sequence[Grouping],
    has_strata: bool,
) -> UserSums:
    """Sum metrics over the users of a part.

    Args:
        part: That was read.
        columns: Of each metric.
        primary: Columns of the primary metric; None where it has no sums.
        groupings: Of users.
        has_strata: Whether the first of them has strata.
    """
    users = part.kept(USERS).collect()
    labels = [labels_of(grouping, users) for grouping in groupings]
    return UserSums(
        metrics=[summed(users, one, None) for one in columns],
        events=summed(users, events_before(), None),
        groups=[] if primary is None else [summed(users, primary, label) for label in labels],
        strata=[summed(users, one, labels[0]) for one in columns] if has_strata else [],
    )


def day_sums(part: Part, plan: Plan, cap: float | None, as_of: datetime) -> DaySums:
    """Sum the primary metric of a part by day, see `recsys.abtest.days.sum_days`."""
    users = part.kept(USERS).select("key", "arm", "entry_us").collect()
    return sum_days(users, part.outcomes(), plan, cap=cap, as_of=as_of)


@dataclass(frozen=True, kw_only=True)
class Values:
    """Which whole numbers a quantile is of.

    Attributes:
        frame: Name of the frame that was kept.
        column: Of it.
        unit: How many of its whole numbers make one.
        arm: Whose; None for both.
        is_of_events: Whether a user has several values, told by `row`.
        is_without_zeros: Whether zeros do not count.
    """

    frame: str
    column: str
    unit: int
    arm: int | None = None
    is_of_events: bool = False
    is_without_zeros: bool = False

    def rows(self, part: Part) -> pl.LazyFrame:
        """Return the rows of a part that count, `whole` and what users are known by."""
        rows = part.kept(self.frame)
        if self.arm is not None:
            rows = rows.filter(pl.col("arm") == self.arm)
        if self.is_without_zeros:
            rows = rows.filter(pl.col(self.column) != 0)
        user = ["row"] if self.is_of_events else []
        return rows.select(*user, whole=pl.col(self.column).cast(pl.Int64))


def span_of(part: Part, values: Values) -> Span:
    """Return how many values a part has, and from where to where."""
    return span(values.rows(part).collect()["whole"].to_numpy())


def counts_of(part: Part, values: Values, low: int, width: int) -> np.ndarray:
    """Count a part's values in bins."""
    return bin_counts(values.rows(part).collect()["whole"].to_numpy(), low, width)


def shares_below(part: Part, values: Values, limit: float) -> tuple[int, ...]:
    """Count users, values at or below a limit and all, and sum their squares and products."""
    below = (pl.col("whole") / values.unit <= limit).cast(pl.Int64)
    rows = values.rows(part)
    if values.is_of_events:
        users = rows.group_by("row").agg(b=below.sum(), c=pl.len().cast(pl.Int64))
    else:
        users = rows.select(b=below, c=pl.lit(1, dtype=pl.Int64))
    b, c = pl.col("b"), pl.col("c")
    found = users.select(
        n=pl.len().cast(pl.Int64),
        b=b.sum(),
        c=c.sum(),
        bb=(b * b).sum(),
        bc=(b * c).sum(),
        cc=(c * c).sum(),
    )
    return found.collect().row(0)
