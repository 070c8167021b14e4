"""For whom the effect is what it is: groups of users, and days since their first exposure.

Shape suffixes: U users, G groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from scipy.stats import chi2

from recsys.abtest.effects import Contrast, Reading, difference, lift, read_fixed
from recsys.abtest.enrolment import told_as, user_key
from recsys.abtest.estimates import Moments, mean_estimate, ratio_estimate
from recsys.abtest.exposure_rows import CONTROL, TREATMENT, US_PER_DAY, epoch_us
from recsys.abtest.metric_values import MetricValues, estimate
from recsys.abtest.multiplicity import adjusted
from recsys.abtest.outcomes import Measure, Outcomes
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import EXPOSURE, SegmentSection

_UNKNOWN = "unknown"
# More groups than these are no segment but an id.
_MOST_GROUPS = 20
_REST = "others"


@dataclass(frozen=True, kw_only=True)
class GroupEffect:
    """The primary metric in one group of users, or on one day.

    Attributes:
        group: Its name; of a day its number since the first exposure, from 0.
        num_users: In both arms.
        reading: On the primary metric's scale, at the level of the plan; None where it cannot be
            told.
        adjusted_p: Counting all groups of the segment.
    """

    group: str
    num_users: int
    reading: Reading | None
    adjusted_p: float | None = None


@dataclass(frozen=True, kw_only=True)
class SegmentEffects:
    """The primary metric by the groups of a segment.

    Attributes:
        segment: Its name.
        is_declared: Whether the plan has it; one that has not is exploratory.
        groups: Sorted by name.
        heterogeneity_p: Of the hypothesis that the effect is the same in all groups.
    """

    segment: str
    is_declared: bool
    groups: list[GroupEffect]
    heterogeneity_p: float | None


def segment_labels(segment: SegmentSection, outcomes: Outcomes) -> np.ndarray:
    """Return the name of each user's group, told from before the first exposure, shape (U,)."""
    users = outcomes.users
    if segment.by == "new-users":
        return np.where(users["num_before"].to_numpy() == 0, "new", "known")
    if segment.by == "unhappy-users":
        num = users["ever_opinions"].to_numpy()
        total = users["ever_opinion"].to_numpy() / Measure("review", "polarity").unit
        is_unhappy = (num > 0) & (total < segment.polarity_below * np.maximum(num, 1))
        return np.where(num == 0, "no review", np.where(is_unhappy, "unhappy", "content"))
    assert segment.column is not None
    return column_labels(users[told_as(segment.column)])


def column_labels(column: pl.Series) -> np.ndarray:
    """Return a column as names of groups: the most frequent ones, and the rest as `others`."""
    named = column.cast(pl.String).fill_null(_UNKNOWN)
    counts = named.value_counts().sort(["count", named.name], descending=[True, False])
    kept = counts[named.name].head(_MOST_GROUPS).to_list()
    return named.replace_strict(dict(zip(kept, kept, strict=True)), default=_REST).to_numpy()


def segment_effects(
    name: str, labels_U: np.ndarray, values: MetricValues, plan: Plan, *, is_declared: bool
) -> SegmentEffects:
    """Estimate the primary metric in each group, without adjustment.

    Heterogeneity is Cochran's Q: sum of ((effect - pooled) / se)^2, chi-square with G - 1 degrees.
    Source: Cochran 1954, "The combination of estimates from different experiments".
    """
    found: list[tuple[str, int, Contrast | None]] = []
    for group in sorted({str(label) for label in labels_U}):
        rows = labels_U == group
        two = estimate(values, analysis="welch", rows_U=rows)
        contrast = None
        if two.control is not None and two.treatment is not None:
            is_relative = values.metric.tested_scale == "relative"
            contrast = (lift if is_relative else difference)(two.control, two.treatment)
        found.append((group, int(rows.sum()), contrast))
    groups = _read_groups(found, plan, values, is_declared=is_declared)
    told = [c for _, _, c in found if c is not None and c.standard_error > 0]
    return SegmentEffects(
        segment=name,
        is_declared=is_declared,
        groups=groups,
        heterogeneity_p=_heterogeneity(told) if len(told) > 1 else None,
    )


def effects_by_day(
    outcomes_log: pl.LazyFrame,
    values: MetricValues,
    outcomes: Outcomes,
    plan: Plan,
    *,
    as_of: datetime,
) -> list[GroupEffect]:
    """Estimate the primary metric on each day since the first exposure: does the effect wear off.

    Day d is of users for whom it is over. A sum of one user's day is cut as the sum of all days.

    Args:
        outcomes_log: As `recsys.abtest.outcomes.join_outcomes` has it.
        values: Of the primary metric: a mean, a conversion (on that day), a ratio or satisfaction.
        outcomes: Whose users take part.
        plan: Of the experiment.
        as_of: Rows at or after it are not used.
    """
    metric = values.metric
    if metric.kind == "quantile" or (metric.denominator or ("",))[0] == EXPOSURE:
        return []
    users = outcomes.users.select("key", "arm", "entry_us")
    until = epoch_us(as_of)
    if "quantity" not in outcomes_log.collect_schema().names():
        outcomes_log = outcomes_log.with_columns(quantity=pl.lit(1, dtype=pl.Int64))
    since = pl.col("time_us") - pl.col("entry_us")
    top = Measure(*metric.numerator)
    bottom = None if metric.denominator is None else Measure(*metric.denominator)
    # Whole numbers of 128 bits: sums of squares that do not depend on the order of rows.
    summed = top.amount().sum()
    if metric.kind == "conversion":
        summed = (summed > 0).cast(pl.Int64)
    elif values.cap is not None:
        summed = pl.min_horizontal(summed, pl.lit(math.floor(values.cap * top.unit)))
    below = pl.lit(1) if bottom is None else bottom.amount().sum()
    per_day = (
        outcomes_log.with_columns(user_key(), time_us=pl.col("event_time").dt.epoch("us"))
        .filter(pl.col("time_us") < until)
        .join(users.lazy(), on="key", how="inner")
        .filter((since >= 0) & (since < round(plan.window_days * US_PER_DAY)))
        .with_columns(day=since // US_PER_DAY)
        .filter(pl.col("entry_us") + (pl.col("day") + 1) * US_PER_DAY <= until)
        .group_by("key", "arm", "day")
        .agg(top=summed.cast(pl.Int128), bottom=below.cast(pl.Int128))
        .group_by("arm", "day")
        .agg(
            t=pl.col("top").sum(),
            b=pl.col("bottom").sum(),
            tt=(pl.col("top") ** 2).sum(),
            bb=(pl.col("bottom") ** 2).sum(),
            tb=(pl.col("top") * pl.col("bottom")).sum(),
        )
        .collect(engine="streaming")
    )
    units = (top.unit, 1 if bottom is None else bottom.unit)
    sums = {(arm, day): _in_units(rest, units) for arm, day, *rest in per_day.iter_rows()}
    arms, entry = users["arm"].to_numpy(), users["entry_us"].to_numpy()
    found = []
    for day in range(int(np.ceil(plan.window_days))):
        is_over = entry + (day + 1) * US_PER_DAY <= until
        counts = [int((is_over & (arms == arm)).sum()) for arm in (CONTROL, TREATMENT)]
        contrast = None
        if min(counts) > 1:
            moments = [
                _moments(counts[arm], sums.get((arm, day), [0.0] * 5))
                for arm in (CONTROL, TREATMENT)
            ]
            two = [ratio_estimate(m) if bottom else mean_estimate(m) for m in moments]
            if two[0] is not None and two[1] is not None:
                contrast = difference(two[0], two[1])
                if metric.tested_scale == "relative":
                    contrast = lift(two[0], two[1])
        found.append((str(day), sum(counts), contrast))
    return _read_groups(found, plan, values, is_declared=True)


def _read_groups(
    found: Sequence[tuple[str, int, Contrast | None]],
    plan: Plan,
    values: MetricValues,
    *,
    is_declared: bool,
) -> list[GroupEffect]:
    better = values.metric.better
    readings = [
        None
        if contrast is None or contrast.standard_error == 0
        else read_fixed(contrast, alpha=plan.alpha, sides="two", better=better)
        for _, _, contrast in found
    ]
    p_values = [reading.p_value for reading in readings if reading is not None]
    method = "holm" if is_declared else "benjamini-hochberg"
    counted = iter(adjusted(p_values, method))
    return [
        GroupEffect(
            group=group,
            num_users=num,
            reading=reading,
            adjusted_p=None if reading is None else next(counted),
        )
        for (group, num, _), reading in zip(found, readings, strict=True)
    ]


def _heterogeneity(contrasts: Sequence[Contrast]) -> float:
    effect = np.array([c.value for c in contrasts])
    weight = np.array([c.standard_error for c in contrasts]) ** -2
    pooled = weight @ effect / weight.sum()
    return float(chi2.sf(weight @ (effect - pooled) ** 2, len(contrasts) - 1))


def _in_units(sums: Sequence[int], units: tuple[int, int]) -> list[float]:
    """Return sums, squares and products of whole numbers in the units of the metric."""
    top, bottom = units
    divisors = (top, bottom, top * top, bottom * bottom, top * bottom)
    return [whole / divisor for whole, divisor in zip(sums, divisors, strict=True)]


def _moments(num_users: int, sums: Sequence[float]) -> Moments:
    """Return moments of users of whom those without events have only zeros."""
    t, b, tt, bb, tb = sums
    mean = np.array([t, b]) / num_users
    squares = np.array([[tt, tb], [tb, bb]])
    covariance = (squares - num_users * np.outer(mean, mean)) / (num_users - 1)
    return Moments(num_users, mean, covariance)
