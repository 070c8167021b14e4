"""For whom the effect is what it is: groups of users.

Shape suffixes: U users.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import chi2

from recsys.abtest.effects import Contrast, Reading, difference, lift, read_fixed
from recsys.abtest.enrolment import told_as
from recsys.abtest.exposure_rows import CONTROL, TREATMENT
from recsys.abtest.metric_estimates import estimate
from recsys.abtest.metric_sums import MetricSums
from recsys.abtest.multiplicity import adjusted
from recsys.abtest.outcomes import Measure
from recsys.abtest.plan import Plan

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


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How users are grouped.

    Attributes:
        name: Of the segment.
        by: `new-users`, `unhappy-users` or `column`.
        column: Of exposures.
        polarity_below: Of unhappy users.
        is_declared: Whether the plan has it.
        kept: Groups of a column that keep their name; see `most_frequent`.
    """

    name: str
    by: str
    column: str | None = None
    polarity_below: float = 0.0
    is_declared: bool = True
    kept: tuple[str, ...] = ()


def groupings_of(plan: Plan, explored: Sequence[str]) -> list[Grouping]:
    """Return the groupings of a plan, in its order, and those that are explored."""
    declared = [
        Grouping(name=s.name, by=s.by, column=s.column, polarity_below=s.polarity_below)
        for s in plan.segments
    ]
    return declared + [
        Grouping(name=name, by="column", column=name, is_declared=False)
        for name in sorted(set(explored))
    ]


def labels_of(grouping: Grouping, users: pl.DataFrame) -> pl.Series:
    """Return the name of each user's group, told from before the first exposure, shape (U,)."""
    if grouping.by == "new-users":
        is_new = pl.col("num_before") == 0
        return users.select(pl.when(is_new).then(pl.lit("new")).otherwise(pl.lit("known")))[
            :, 0
        ].alias("label")
    if grouping.by == "unhappy-users":
        num = pl.col("ever_opinions")
        total = pl.col("ever_opinion") / Measure("review", "polarity").unit
        named = (
            pl.when(num == 0)
            .then(pl.lit("no review"))
            .when(total < grouping.polarity_below * num)
            .then(pl.lit("unhappy"))
            .otherwise(pl.lit("content"))
        )
        return users.select(label=named)["label"]
    assert grouping.column is not None
    named = _named(users[told_as(grouping.column)])
    kept = dict(zip(grouping.kept, grouping.kept, strict=True))
    return named.replace_strict(kept, default=_REST, return_dtype=pl.String)


def column_names(column: pl.Series) -> Counter[str]:
    """Count how often a column has each value."""
    counts = _named(column).rename("name").value_counts()
    return Counter(dict(counts.iter_rows()))


def most_frequent(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the most frequent values; groups of others are named `others`."""
    return tuple(sorted(counts, key=lambda name: (-counts[name], name))[:_MOST_GROUPS])


def _named(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).fill_null(_UNKNOWN)


def segment_effects(grouping: Grouping, sums: MetricSums, plan: Plan) -> SegmentEffects:
    """Estimate the primary metric in each group, without adjustment.

    Heterogeneity is Cochran's Q: sum of ((effect - pooled) / se)^2, chi-square with G - 1 degrees.
    Source: Cochran 1954, "The combination of estimates from different experiments".

    Args:
        grouping: Of users.
        sums: Of the primary metric in its groups.
        plan: Of the experiment.
    """
    metric = plan.primary
    found: list[tuple[str, int, Contrast | None]] = []
    for group in sums.labels:
        two = estimate(sums, analysis="welch", label=group)
        contrast = None
        if two.control is not None and two.treatment is not None:
            is_relative = metric.tested_scale == "relative"
            contrast = (lift if is_relative else difference)(two.control, two.treatment)
        found.append((group, sums.num(CONTROL, group) + sums.num(TREATMENT, group), contrast))
    is_declared = grouping.is_declared
    groups = read_groups(found, plan, is_declared=is_declared)
    told = [c for _, _, c in found if c is not None and c.standard_error > 0]
    return SegmentEffects(
        segment=grouping.name,
        is_declared=is_declared,
        groups=groups,
        heterogeneity_p=_heterogeneity(told) if len(told) > 1 else None,
    )


def read_groups(
    found: Sequence[tuple[str, int, Contrast | None]],
    plan: Plan,
    *,
    is_declared: bool,
) -> list[GroupEffect]:
    """Read the contrasts of groups of a segment, or of days, as effects.

    Args:
        found: Name, number of users and contrast of each.
        plan: Of the experiment.
        is_declared: Whether the plan names them: p-values by Holm, else by Benjamini-Hochberg.
    """
    better = plan.primary.better
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
