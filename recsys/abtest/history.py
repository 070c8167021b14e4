"""What the past says of an experiment to come: users, variances, and how much CUPED would cut.

Shape suffixes: D days.
"""

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from recsys.abtest.enrolment import Enrolment, user_key
from recsys.abtest.estimates import Moments, cuped, mean_estimate, ratio_estimate
from recsys.abtest.exposure_rows import US_PER_DAY, epoch_us
from recsys.abtest.metric_values import MetricValues, metric_values
from recsys.abtest.outcomes import Measure, event_values, join_outcomes
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import MetricSection
from recsys.abtest.power import minimum_detectable_effect, num_users_needed
from recsys.abtest.quantiles import quantile_estimate
from recsys.errors import NotEnoughDataError

_LEAST_USERS = 20
_MOST_DAYS = 3650


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a metric needs, with one way of analysis.

    Attributes:
        variance: Of the metric over users, in its units squared; of a ratio linearised.
        minimum_detectable_effect: On the tested scale, with the users of the planned time; None
            for a metric that does not vary, and for a lift of one whose mean is not above zero.
        num_users: To find the minimum effect, of a guardrail to show that it is within its margin;
            None for secondary metrics, which have no effect to be found.
        duration_days: Until so many users have entered and their windows are over; None where the
            traffic of ten years would not do.
    """

    variance: float
    minimum_detectable_effect: float | None
    num_users: int | None
    duration_days: int | None


@dataclass(frozen=True, kw_only=True)
class MetricNeeds:
    """What a metric needs, without and with CUPED.

    Attributes:
        metric: Which one.
        mean: In the past.
        plain: Without adjustment.
        cuped: With it; None where the metric has no past that varies.
        variance_cut: rho^2, what CUPED would take from the variance.
    """

    metric: MetricSection
    mean: float
    plain: Need
    cuped: Need | None
    variance_cut: float | None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What may be expected of an experiment.

    Attributes:
        since: When the past that was read begins.
        until: When entering ends in it; outcomes reach `window_days` further.
        num_users: That entered then, as many as in the planned time.
        metrics: In the order of the plan.
    """

    since: datetime
    until: datetime
    num_users: int
    metrics: list[MetricNeeds]


def forecast(
    plan: Plan, outcomes_log: pl.LazyFrame, entries: pl.LazyFrame, *, as_of: datetime
) -> Forecast:
    """Read the last stretch of the past that is as long as the experiment.

    Args:
        plan: Of the experiment.
        outcomes_log: See `recsys.abtest.outcomes.join_outcomes`.
        entries: `user_id, event_time` of whatever lets a user take part: exposures of the past, or
            any event.
        as_of: End of the past, at most the start of the experiment.

    Raises:
        NotEnoughDataError: Too few users took part in that time.
        ExperimentLogError: A column is missing.
    """
    until_us = epoch_us(as_of) - round(plan.window_days * US_PER_DAY)
    since_us = until_us - round(plan.duration_days * US_PER_DAY)
    enrolment = _enrolment(entries, since_us, until_us)
    since, until = _moment(since_us), _moment(until_us)
    if len(enrolment.users) < _LEAST_USERS:
        raise NotEnoughDataError(
            f"{len(enrolment.users)} users acted between {since.isoformat()} and "
            f"{until.isoformat()}, at least {_LEAST_USERS} are needed: the past must reach back "
            f"{plan.duration_days + plan.window_days:g} days before {as_of.isoformat()}; give an "
            "earlier --as-of, or plan a shorter experiment"
        )
    past = plan.model_copy(update={"in_progress": "keep", "start": since, "end": until})
    outcomes = join_outcomes(outcomes_log, enrolment, past, as_of=as_of)
    entry_days = (outcomes.users["entry_us"].to_numpy() - since_us) // US_PER_DAY
    arrived_D = np.cumsum(np.bincount(entry_days, minlength=math.ceil(plan.duration_days)))
    needs = []
    for metric in plan.metrics:
        values = metric_values(metric, outcomes, past)
        events = None
        if metric.of == "events":
            measure = Measure(*metric.numerator)
            events = event_values(outcomes_log, outcomes, measure, past, as_of=as_of)
        needs.append(_needs(plan, values, arrived_D, events))
    return Forecast(since=since, until=until, num_users=int(arrived_D[-1]), metrics=needs)


def days_until(arrived_D: np.ndarray, num_users: float) -> int | None:
    """Return how many days it takes until so many users have entered.

    Later days bring as many new users as the last seven did in the mean.

    >>> days_until(np.array([100, 150, 180]), 150), days_until(np.array([100, 150, 180]), 300)
    (2, 5)

    Args:
        arrived_D: Users that had entered by the end of each day, shape (D,).
        num_users: Wanted.

    Returns:
        Whole days, at least 1; None where ten years would not do.
    """
    if num_users <= arrived_D[-1]:
        return int(np.searchsorted(arrived_D, num_users)) + 1
    recent = np.diff(np.concatenate([[0], arrived_D]))[-7:].mean()
    if recent <= 0:
        return None
    days = len(arrived_D) + math.ceil((num_users - arrived_D[-1]) / recent)
    return days if days <= _MOST_DAYS else None


def _enrolment(entries: pl.LazyFrame, since_us: int, until_us: int) -> Enrolment:
    time = pl.col("event_time").dt.epoch("us")
    users = (
        entries.filter((time >= since_us) & (time < until_us) & pl.col("user_id").is_not_null())
        .group_by(user_key())
        .agg(time.min().alias("entry_us"), pl.len().cast(pl.Int64).alias("num_exposures"))
        .select("key", pl.lit(0, dtype=pl.Int8).alias("arm"), "entry_us", "num_exposures")
        .collect(engine="streaming")
        .sort("key")
    )
    return Enrolment(
        users=users,
        exposed=users["key"],
        counts={},
        num_by_arm=(len(users), 0),
        first_us=None,
        days=pl.DataFrame(),
        excluded_by_arm=(0, 0),
        chances=None,
    )


def _needs(
    plan: Plan, values: MetricValues, arrived_D: np.ndarray, events: pl.DataFrame | None
) -> MetricNeeds:
    everybody = np.arange(len(values.arm_U))
    cut = None
    if values.metric.kind == "quantile":
        assert values.metric.quantile is not None
        amounts = values.top_U if events is None else events["value"].to_numpy()
        user = None if events is None else events["row"].to_numpy()
        found = quantile_estimate(amounts, values.metric.quantile, user_N=user)
    else:
        is_ratio = values.bottom_U is not None
        moments = values.moments(everybody, with_past=False)
        found = ratio_estimate(moments) if is_ratio else mean_estimate(moments)
        cut = _cut(values.moments(everybody, with_past=True), is_ratio=is_ratio, values=values)
    if found is None and values.metric.role == "primary":
        raise NotEnoughDataError(
            f"the primary metric {values.metric.name!r} never occurred in the past that was read: "
            "name an event that does, or give an earlier --as-of"
        )
    if found is None:
        unknown = _need(plan, values.metric, 0.0, 0.0, arrived_D)
        return MetricNeeds(
            metric=values.metric, mean=0.0, plain=unknown, cuped=None, variance_cut=None
        )
    # Of events only some users have any: their share is that of the past.
    taking_part = found.num_users / len(everybody)
    variance = found.variance * found.num_users / taking_part
    plain = _need(plan, values.metric, found.mean, variance, arrived_D)
    adjusted = None
    if cut is not None:
        adjusted = _need(plan, values.metric, found.mean, variance * (1 - cut), arrived_D)
    return MetricNeeds(
        metric=values.metric, mean=found.mean, plain=plain, cuped=adjusted, variance_cut=cut
    )


def _cut(moments: Moments, *, is_ratio: bool, values: MetricValues) -> float | None:
    if not values.has_past:
        return None
    # Both arms the same: only the slope matters.
    adjusted = cuped(moments, moments, is_ratio=is_ratio)
    return None if adjusted is None else max(0.0, adjusted.variance_cut)


def _need(
    plan: Plan, metric: MetricSection, mean: float, variance: float, arrived_D: np.ndarray
) -> Need:
    is_relative = metric.tested_scale == "relative"
    share = plan.treatment.share
    scaled = variance / mean**2 if is_relative and mean > 0 else variance
    effect = metric.margin
    if metric.role == "primary":
        effect = plan.minimum_effect.relative or plan.minimum_effect.absolute
    if variance == 0 or (is_relative and not mean > 0):
        return Need(
            variance=variance, minimum_detectable_effect=None, num_users=None, duration_days=None
        )

    def grown(size: float) -> float:
        """Return how much larger the variance of a lift of this size is than that of none."""
        return 1 - share + share * (1 + size) ** 2 if is_relative else 1.0

    found = minimum_detectable_effect(
        variance=scaled,
        num_users=float(arrived_D[-1]),
        alpha=plan.alpha,
        power=plan.power,
        sides=plan.sides,
        treatment_share=share,
        sequential=plan.sequential,
    )
    num_users = days = None
    if effect is not None:
        # A guardrail is shown to be not inferior where nothing has changed.
        size = 0.0 if metric.role == "guardrail" else effect
        num_users = num_users_needed(
            variance=scaled * grown(size),
            effect=effect,
            alpha=plan.alpha,
            power=plan.power,
            sides=plan.sides,
            treatment_share=share,
            sequential=plan.sequential,
        )
        days = days_until(arrived_D, num_users)
    return Need(
        variance=variance,
        minimum_detectable_effect=found,
        num_users=num_users,
        duration_days=None if days is None else days + math.ceil(plan.window_days),
    )


def _moment(us: int) -> datetime:
    return pl.Series([us]).cast(pl.Datetime("us", "UTC")).item()
