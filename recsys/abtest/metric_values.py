"""The numbers of each user that a metric is made of, winsorised alike in both arms.

Shape suffixes: U users.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.abtest.estimates import (
    Adjusted,
    ArmEstimate,
    Moments,
    cuped,
    mean_estimate,
    post_stratified,
    ratio_estimate,
)
from recsys.abtest.exposure_rows import CONTROL, TREATMENT
from recsys.abtest.outcomes import Outcomes
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import EXPOSURE, MetricSection
from recsys.abtest.quantiles import quantile_estimate


@dataclass(frozen=True, kw_only=True)
class MetricValues:
    """A metric's columns over users.

    Attributes:
        metric: Which one.
        arm_U: 0 control, 1 treatment, shape (U,).
        top_U: The sum of each user, or the numerator of a ratio, in the metric's units.
        bottom_U: The denominator; None where the metric is no ratio.
        top_before_U: As `top_U`, in the pre-period.
        bottom_before_U: As `bottom_U`, in the pre-period; exposures have none, so that it is None.
        cap: What sums are cut to; None where they are not.
    """

    metric: MetricSection
    arm_U: np.ndarray
    top_U: np.ndarray
    bottom_U: np.ndarray | None
    top_before_U: np.ndarray
    bottom_before_U: np.ndarray | None
    cap: float | None

    def moments(self, rows_U: np.ndarray, *, with_past: bool) -> Moments:
        """Measure some users: numerator, denominator, and if asked for those before."""
        columns = [self.top_U, self.bottom_U]
        if with_past:
            columns += [self.top_before_U, self.bottom_before_U]
        return Moments.of([column[rows_U] for column in columns if column is not None])

    @property
    def has_past(self) -> bool:
        """Whether CUPED has a covariate for it."""
        return self.bottom_U is None or self.bottom_before_U is not None


def metric_values(metric: MetricSection, outcomes: Outcomes, plan: Plan) -> MetricValues:
    """Return the columns of a metric.

    A cap is the quantile of the sums of both arms that are not zero; the pre-period has its own.
    """
    users = outcomes.users
    top, before = (_column(outcomes, metric.numerator, when) for when in ("after", "before"))
    bottom = bottom_before = None
    if metric.denominator is not None and metric.denominator[0] == EXPOSURE:
        bottom = users["num_exposures"].to_numpy().astype(np.float64)
    elif metric.denominator is not None:
        bottom, bottom_before = (
            _column(outcomes, metric.denominator, when) for when in ("after", "before")
        )
    cap = None
    if metric.kind == "conversion":
        top, before = (top > 0).astype(np.float64), (before > 0).astype(np.float64)
    elif metric.kind in ("mean", "ratio"):
        quantile = metric.winsor_quantile or plan.winsor_quantile
        top, cap = _capped(top, quantile)
        before, _ = _capped(before, quantile)
    return MetricValues(
        metric=metric,
        arm_U=users["arm"].to_numpy(),
        top_U=top,
        bottom_U=bottom,
        top_before_U=before,
        bottom_before_U=bottom_before,
        cap=cap,
    )


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """Both arms' estimates of a metric.

    Attributes:
        control: Plain; None where it cannot be estimated.
        treatment: Plain.
        adjusted: By what users did before, where the plan wants it and it can be done.
        note: What could not be done, for the reader; empty where all was.
    """

    control: ArmEstimate | None
    treatment: ArmEstimate | None
    adjusted: tuple[ArmEstimate, ArmEstimate] | None = None
    theta: float | None = None
    variance_cut: float | None = None
    note: str = ""


def estimate(
    values: MetricValues,
    *,
    analysis: str,
    rows_U: np.ndarray | None = None,
    strata_U: np.ndarray | None = None,
    events: pl.DataFrame | None = None,
) -> Estimated:
    """Estimate both arms.

    Args:
        values: Of the metric.
        analysis: Of the plan.
        rows_U: Users that count, a mask; None for all.
        strata_U: Number of each user's stratum, for post-stratification.
        events: `row, value` of single events, `row` the user's place, for quantiles of events.
    """
    rows = np.ones(len(values.arm_U), dtype=bool) if rows_U is None else rows_U
    arms = [np.flatnonzero(rows & (values.arm_U == arm)) for arm in (CONTROL, TREATMENT)]
    if min(len(arm) for arm in arms) < 2:
        return Estimated(control=None, treatment=None, note="an arm has fewer than two users")
    if values.metric.kind == "quantile":
        return _quantiles(values, arms, events)
    is_ratio = values.bottom_U is not None
    plain = [values.moments(arm, with_past=False) for arm in arms]
    found = [ratio_estimate(m) if is_ratio else mean_estimate(m) for m in plain]
    if found[0] is None or found[1] is None:
        return Estimated(control=None, treatment=None, note="an arm has a denominator of zero")
    if analysis == "cuped":
        return _with_cuped(values, arms, found[0], found[1])
    if analysis == "post-stratified" and strata_U is not None:
        strata = [
            [
                values.moments(arm[strata_U[arm] == s], with_past=False)
                for s in _strata(strata_U, arms)
            ]
            for arm in arms
        ]
        adjusted = post_stratified(strata[0], strata[1], is_ratio=is_ratio)
        note = "" if adjusted else "not post-stratified, since a stratum lacks users of an arm"
        return Estimated(
            control=found[0],
            treatment=found[1],
            adjusted=adjusted,
            variance_cut=_variance_cut(found[0], found[1], adjusted),
            note=note,
        )
    return Estimated(control=found[0], treatment=found[1])


def _with_cuped(
    values: MetricValues, arms: list[np.ndarray], control: ArmEstimate, treatment: ArmEstimate
) -> Estimated:
    is_ratio = values.bottom_U is not None
    adjusted: Adjusted | None = None
    if values.has_past:
        past = [values.moments(arm, with_past=True) for arm in arms]
        adjusted = cuped(past[0], past[1], is_ratio=is_ratio)
    if adjusted is None:
        return Estimated(
            control=control,
            treatment=treatment,
            note="not adjusted, since the pre-period does not vary or has no such denominator",
        )
    return Estimated(
        control=control,
        treatment=treatment,
        adjusted=(adjusted.control, adjusted.treatment),
        theta=adjusted.theta,
        variance_cut=adjusted.variance_cut,
    )


def _variance_cut(
    control: ArmEstimate, treatment: ArmEstimate, adjusted: tuple[ArmEstimate, ArmEstimate] | None
) -> float | None:
    plain = control.variance + treatment.variance
    if adjusted is None or plain == 0:
        return None
    return 1 - (adjusted[0].variance + adjusted[1].variance) / plain


def _strata(strata_U: np.ndarray, arms: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([strata_U[arm] for arm in arms]))


def _quantiles(
    values: MetricValues, arms: list[np.ndarray], events: pl.DataFrame | None
) -> Estimated:
    quantile = values.metric.quantile
    assert quantile is not None
    found: list[ArmEstimate | None] = []
    for arm in arms:
        if values.metric.of == "users":
            found.append(quantile_estimate(values.top_U[arm], quantile))
            continue
        assert events is not None
        of_arm = events.filter(pl.col("row").is_in(pl.Series(arm).cast(pl.UInt32).implode()))
        amounts = of_arm["value"].to_numpy()
        found.append(
            quantile_estimate(amounts, quantile, user_N=of_arm["row"].to_numpy())
            if len(amounts)
            else None
        )
    if found[0] is None or found[1] is None:
        return Estimated(control=None, treatment=None, note="an arm has fewer than two such users")
    note = "" if found[0].variance + found[1].variance > 0 else "both quantiles lie on a mass point"
    return Estimated(control=found[0], treatment=found[1], note=note)


def _column(outcomes: Outcomes, measure: tuple[str, str], when: str) -> np.ndarray:
    place = outcomes.place(measure)
    whole = outcomes.users[f"{when}_{place}"].to_numpy()
    return whole / outcomes.measures[place].unit


def _capped(sums_U: np.ndarray, quantile: float | None) -> tuple[np.ndarray, float | None]:
    if quantile is None or not (sums_U != 0).any():
        return sums_U, None
    cap = float(np.quantile(sums_U[sums_U != 0], quantile))
    return np.minimum(sums_U, cap), cap
