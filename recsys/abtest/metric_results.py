"""What is concluded of each metric: effects, intervals, who is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recsys.abtest.effects import Contrast, Reading, difference, is_inferior, lift
from recsys.abtest.estimates import ArmEstimate
from recsys.abtest.looks import Reader
from recsys.abtest.metric_estimates import Estimated
from recsys.abtest.metric_sums import MetricSums
from recsys.abtest.multiplicity import adjusted
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import MetricSection
from recsys.abtest.posterior import Posterior, posterior


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """One metric in both arms.

    Attributes:
        metric: As the plan has it.
        control: Its plain estimate; None where there is none.
        treatment: The same.
        absolute: Difference, after the plan's adjustment; None without estimates, or where the
            estimates cannot vary.
        relative: Lift, None also where the control's mean is not above zero.
        tested: The one of both that the plan reads.
        adjusted_p: Of secondary metrics, counting how many there are.
        is_significant: Whether the interval excludes zero; of secondary metrics, whether the
            adjusted p-value is below alpha and the primary metric is significant.
        is_inferior: Of guardrails; see `recsys.abtest.effects.is_inferior`.
        belief: Posterior of the tested effect, where the plan asks for it.
        cap: What users' sums were cut to; None where they were not.
        theta: Slope of CUPED.
        variance_cut: What the adjustment took from the variance of the difference.
        note: What could not be done; empty where all was.
    """

    metric: MetricSection
    control: ArmEstimate | None
    treatment: ArmEstimate | None
    absolute: Reading | None
    relative: Reading | None
    tested: Reading | None
    adjusted_p: float | None
    is_significant: bool | None
    is_inferior: bool | None
    belief: Posterior | None
    cap: float | None
    theta: float | None
    variance_cut: float | None
    note: str


def metric_results(
    plan: Plan, sums: Sequence[MetricSums], estimates: Sequence[Estimated], read: Reader
) -> list[MetricResult]:
    """Conclude on every metric.

    Args:
        plan: What is asked.
        sums: Of each metric.
        estimates: Of each metric.
        read: How a contrast is read at this look.
    """
    found = [
        _result(plan, metric, one.cap, two, read)
        for metric, one, two in zip(plan.metrics, sums, estimates, strict=True)
    ]
    return _with_family(plan, found)


def _result(
    plan: Plan, metric: MetricSection, cap: float | None, two: Estimated, read: Reader
) -> MetricResult:
    arms = two.adjusted or (two.control, two.treatment)
    absolute = relative = tested_contrast = None
    if arms[0] is not None and arms[1] is not None:
        contrasts: dict[str, Contrast | None] = {
            "absolute": difference(arms[0], arms[1]),
            "relative": lift(arms[0], arms[1]),
        }
        readings = {
            scale: None if c is None or c.standard_error == 0 else read(c, metric.better)
            for scale, c in contrasts.items()
        }
        absolute, relative = readings["absolute"], readings["relative"]
        tested_contrast = contrasts[metric.tested_scale]
    tested = relative if metric.tested_scale == "relative" else absolute
    belief = None
    if plan.bayesian and tested is not None and tested_contrast is not None:
        belief = posterior(tested_contrast, alpha=plan.alpha, better=metric.better)
    inferior = None
    if tested is not None and metric.margin is not None:
        inferior = is_inferior(tested, margin=metric.margin, better=metric.better)
    return MetricResult(
        metric=metric,
        control=two.control,
        treatment=two.treatment,
        absolute=absolute,
        relative=relative,
        tested=tested,
        adjusted_p=None,
        is_significant=None if tested is None else tested.low > 0 or tested.high < 0,
        is_inferior=inferior,
        belief=belief,
        cap=cap,
        theta=two.theta,
        variance_cut=two.variance_cut,
        note=two.note,
    )


def _with_family(plan: Plan, found: Sequence[MetricResult]) -> list[MetricResult]:
    """Count how many secondary metrics there are; they are confirmed only after the primary."""
    family = [m for m in found if m.metric.role == "secondary" and m.tested is not None]
    p_values = adjusted([m.tested.p_value for m in family if m.tested], plan.multiple_testing)
    counted = {m.metric.name: p for m, p in zip(family, p_values, strict=True)}
    primary = next(m for m in found if m.metric.role == "primary")
    return [
        m
        if m.metric.name not in counted
        else replace(
            m,
            adjusted_p=counted[m.metric.name],
            is_significant=bool(primary.is_significant) and counted[m.metric.name] < plan.alpha,
        )
        for m in found
    ]
