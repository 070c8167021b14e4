"""Quantiles over parts: what sums are cut to, and quantile metrics. All are exact, in passes."""

import math
from collections.abc import Callable

import numpy as np

from recsys.abtest.estimates import ArmEstimate, Moments
from recsys.abtest.exposure_rows import CONTROL, TREATMENT
from recsys.abtest.metric_estimates import TOO_FEW, Estimated
from recsys.abtest.metric_sums import MetricSums
from recsys.abtest.order_statistics import OrderStatistics
from recsys.abtest.outcomes import Measure, measures_of
from recsys.abtest.parts import (
    USERS,
    Each,
    Values,
    counts_of,
    events_name,
    shares_below,
    span_of,
)
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import MetricSection
from recsys.abtest.quantiles import woodruff


def caps_of(metric: MetricSection, plan: Plan, each: Each) -> tuple[float | None, float | None]:
    """Return what sums after and before the first exposure are cut to.

    It is the quantile of the sums of both arms that are not zero; the pre-period has its own.
    """
    quantile = metric.winsor_quantile or plan.winsor_quantile
    if quantile is None or metric.kind not in ("mean", "ratio"):
        return None, None
    after, before = (
        _cap(_sums_of(metric, plan, when, is_without_zeros=True), quantile, each)
        for when in ("after", "before")
    )
    return after, before


def quantile_of(place: int, sums: MetricSums, plan: Plan, each: Each) -> Estimated:
    """Estimate the quantile metric at a place of the plan in both arms."""
    metric = plan.metrics[place]
    assert metric.quantile is not None
    if min(sums.num(arm) for arm in (CONTROL, TREATMENT)) < 2:
        return Estimated(control=None, treatment=None, note=TOO_FEW)
    found: list[ArmEstimate | None] = []
    for arm in (CONTROL, TREATMENT):
        values = _sums_of(metric, plan, "after", arm=arm)
        if metric.of == "events":
            values = Values(
                frame=events_name(place),
                column="whole",
                unit=values.unit,
                arm=arm,
                is_of_events=True,
            )
        share = _share(values, each)
        if share(math.inf).num_users < 2:
            found.append(None)
            continue
        found.append(woodruff(_quantiles(values, each), share, metric.quantile))
    if found[0] is None or found[1] is None:
        return Estimated(control=None, treatment=None, note="an arm has fewer than two such users")
    note = "" if found[0].variance + found[1].variance > 0 else "both quantiles lie on a mass point"
    return Estimated(control=found[0], treatment=found[1], note=note)


def _sums_of(
    metric: MetricSection,
    plan: Plan,
    when: str,
    *,
    arm: int | None = None,
    is_without_zeros: bool = False,
) -> Values:
    measure = Measure(*metric.numerator)
    return Values(
        frame=USERS,
        column=f"{when}_{measures_of(plan.metrics).index(measure)}",
        unit=measure.unit,
        arm=arm,
        is_without_zeros=is_without_zeros,
    )


def _ordered(values: Values, each: Each) -> OrderStatistics:
    return OrderStatistics(
        each(span_of, values),
        lambda low, width: np.sum(each(counts_of, values, low, width), axis=0),
    )


def _cap(values: Values, quantile: float, each: Each) -> float | None:
    ordered = _ordered(values, each)
    if not ordered.num:
        return None
    low, high, step = ordered.around(quantile)
    # To the last bit as numpy has it, of the numbers on both sides.
    a, b = low / values.unit, high / values.unit
    return a + (b - a) * step if step < 0.5 else b - (b - a) * (1 - step)


def _quantiles(values: Values, each: Each) -> Callable[[float], float]:
    ordered = _ordered(values, each)

    def at(quantile: float) -> float:
        low, high, step = ordered.around(quantile)
        return low / values.unit + step * (high / values.unit - low / values.unit)

    return at


def _share(values: Values, each: Each) -> Callable[[float], Moments]:
    def share(limit: float) -> Moments:
        n, b, c, bb, bc, cc = (
            sum(column) for column in zip(*each(shares_below, values, limit), strict=True)
        )
        if not n:
            return Moments(0, np.zeros(2), np.zeros((2, 2)))
        # Whole numbers until the division.
        products = [[n * bb - b * b, n * bc - b * c], [n * bc - b * c, n * cc - c * c]]
        covariance = [[value / (n * max(1, n - 1)) for value in row] for row in products]
        return Moments(n, np.array([b / n, c / n]), np.array(covariance))

    return share
