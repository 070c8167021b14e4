"""The effect by day since the first exposure: does it wear off?

Shape suffixes: D days.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from recsys.abtest.effects import Contrast, difference, lift
from recsys.abtest.enrolment import user_key
from recsys.abtest.estimates import Moments, mean_estimate, ratio_estimate
from recsys.abtest.exposure_rows import CONTROL, TREATMENT, US_PER_DAY, epoch_us
from recsys.abtest.outcomes import Measure
from recsys.abtest.plan import Plan
from recsys.abtest.segments import GroupEffect, read_groups


@dataclass(frozen=True, kw_only=True)
class DaySums:
    """The primary metric by day since the first exposure.

    Attributes:
        num_users_D2: Of both arms, for whom day d is over, shape (D, 2).
        sums: `arm, day` and sums of numerator and denominator, of their squares and product.
    """

    num_users_D2: np.ndarray
    sums: pl.DataFrame


def sum_days(
    users: pl.DataFrame,
    outcomes_log: pl.LazyFrame,
    plan: Plan,
    *,
    cap: float | None,
    as_of: datetime,
) -> DaySums:
    """Sum the primary metric on each day since the first exposure.

    Day d is of users for whom it is over. A sum of one user's day is cut as the sum of all days.

    Args:
        users: `key, arm, entry_us`.
        outcomes_log: As `recsys.abtest.outcomes.join_outcomes` has it.
        plan: Whose primary metric is a mean, a conversion (on that day), a ratio or satisfaction.
        cap: What sums are cut to.
        as_of: Rows at or after it are not used.
    """
    metric = plan.primary
    users = users.select("key", "arm", "entry_us")
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
    elif cap is not None:
        summed = pl.min_horizontal(summed, pl.lit(math.floor(cap * top.unit)))
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
    arms, entry = users["arm"].to_numpy(), users["entry_us"].to_numpy()
    is_over = [
        entry + (day + 1) * US_PER_DAY <= until for day in range(math.ceil(plan.window_days))
    ]
    counts = [[int((over & (arms == a)).sum()) for a in (CONTROL, TREATMENT)] for over in is_over]
    return DaySums(num_users_D2=np.array(counts).reshape(-1, 2), sums=per_day)


def effects_by_day(parts: Sequence[DaySums], plan: Plan) -> list[GroupEffect]:
    """Estimate the primary metric on each day since the first exposure: does the effect wear off.

    Args:
        parts: What `sum_days` found of different users.
        plan: Of the experiment.
    """
    metric = plan.primary
    top = Measure(*metric.numerator)
    bottom = None if metric.denominator is None else Measure(*metric.denominator)
    units = (top.unit, 1 if bottom is None else bottom.unit)
    whole = pl.concat(part.sums for part in parts).group_by("arm", "day").sum()
    sums = {(arm, day): _in_units(rest, units) for arm, day, *rest in whole.iter_rows()}
    found: list[tuple[str, int, Contrast | None]] = []
    for day, counts in enumerate(np.sum([part.num_users_D2 for part in parts], axis=0).tolist()):
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
    return read_groups(found, plan, is_declared=True)


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
