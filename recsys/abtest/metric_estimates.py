"""Both arms' estimates of a metric, from its sums."""

from dataclasses import dataclass

from recsys.abtest.estimates import (
    Adjusted,
    ArmEstimate,
    cuped,
    mean_estimate,
    post_stratified,
    ratio_estimate,
)
from recsys.abtest.exposure_rows import CONTROL, TREATMENT
from recsys.abtest.metric_sums import MetricSums

_ARMS = (CONTROL, TREATMENT)
TOO_FEW = "an arm has fewer than two users"


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """Both arms' estimates of a metric.

    Attributes:
        control: Plain; None where it cannot be estimated.
        treatment: Plain.
        adjusted: By what users did before, where the plan wants it and it can be done.
        theta: Slope of CUPED.
        variance_cut: What the adjustment took from the variance of the difference.
        note: What could not be done, for the reader; empty where all was.
    """

    control: ArmEstimate | None
    treatment: ArmEstimate | None
    adjusted: tuple[ArmEstimate, ArmEstimate] | None = None
    theta: float | None = None
    variance_cut: float | None = None
    note: str = ""


def estimate(
    sums: MetricSums, *, analysis: str, label: str = "", strata: MetricSums | None = None
) -> Estimated:
    """Estimate both arms of a metric that is no quantile.

    Args:
        sums: Of the metric.
        analysis: Of the plan.
        label: Whose users count.
        strata: Sums of each stratum, for post-stratification.
    """
    if min(sums.num(arm, label) for arm in _ARMS) < 2:
        return Estimated(control=None, treatment=None, note=TOO_FEW)
    is_ratio = sums.is_ratio
    plain = [sums.moments(arm, label) for arm in _ARMS]
    found = [ratio_estimate(m) if is_ratio else mean_estimate(m) for m in plain]
    if found[0] is None or found[1] is None:
        return Estimated(control=None, treatment=None, note="an arm has a denominator of zero")
    if analysis == "cuped":
        return _with_cuped(sums, label, found[0], found[1])
    if analysis == "post-stratified" and strata is not None:
        parts = [[strata.moments(arm, stratum) for stratum in strata.labels] for arm in _ARMS]
        adjusted = post_stratified(parts[0], parts[1], is_ratio=is_ratio)
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
    sums: MetricSums, label: str, control: ArmEstimate, treatment: ArmEstimate
) -> Estimated:
    adjusted: Adjusted | None = None
    if sums.has_past:
        past = [sums.moments(arm, label, with_past=True) for arm in _ARMS]
        adjusted = cuped(past[0], past[1], is_ratio=sums.is_ratio)
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
