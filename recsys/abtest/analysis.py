"""From a plan and two logs to a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from recsys.abtest import gates as checks
from recsys.abtest.effects import Contrast, Reading, difference, is_inferior, lift
from recsys.abtest.enrolment import CONTROL, TREATMENT, enrol, told_as
from recsys.abtest.estimates import ArmEstimate
from recsys.abtest.gates import Gate, PlanRecord
from recsys.abtest.looks import Reader, critical_values, reader
from recsys.abtest.metric_values import Estimated, MetricValues, estimate, metric_values
from recsys.abtest.multiplicity import adjusted
from recsys.abtest.outcomes import Measure, Outcomes, event_values, join_outcomes
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import MetricSection
from recsys.abtest.posterior import Posterior, posterior
from recsys.abtest.segments import (
    GroupEffect,
    SegmentEffects,
    column_labels,
    effects_by_day,
    segment_effects,
    segment_labels,
)
from recsys.abtest.verdict import Verdict, decide, refused


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


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Everything a report says.

    Attributes:
        plan: That was followed.
        as_of: Rows at or after it were not used.
        record: When the plan was written down.
        num_users: Of control and treatment.
        counts: Rows and users that were read and left out.
        gates: All checks, in order.
        verdict: What to do.
        metrics: Empty where a gate refuses: unfit data show no effects.
        days: The primary metric by day since the first exposure.
        segments: The primary metric by groups, declared ones first.
        critical: Boundary at each look, a share of the time; of group-sequential plans.
        exposure_days: `day, arm, num_exposures, num_users`.
    """

    plan: Plan
    as_of: datetime
    record: PlanRecord
    num_users: tuple[int, int]
    counts: dict[str, int]
    gates: list[Gate]
    verdict: Verdict
    metrics: list[MetricResult]
    days: list[GroupEffect]
    segments: list[SegmentEffects]
    critical: dict[float, float]
    exposure_days: pl.DataFrame


def analyse(
    plan: Plan,
    exposures: pl.LazyFrame,
    outcomes_log: pl.LazyFrame,
    *,
    as_of: datetime,
    earlier_looks: Sequence[datetime] = (),
    record: PlanRecord | None = None,
    explored: Sequence[str] = (),
) -> Analysis:
    """Analyse an experiment.

    Args:
        plan: What is asked.
        exposures: See `recsys.abtest.enrolment.enrol`.
        outcomes_log: See `recsys.abtest.outcomes.join_outcomes`.
        as_of: Rows at or after it are not used.
        earlier_looks: When else the data were looked at.
        record: When the plan was written down; None where nothing is known.
        explored: Columns of exposures to look for heterogeneity that the plan does not name.

    Raises:
        ExperimentLogError: A column is missing, or an arm is empty.
    """
    enrolment = enrol(exposures, plan, as_of=as_of, explored=explored)
    outcomes = join_outcomes(outcomes_log, enrolment, plan, as_of=as_of)
    values = [metric_values(metric, outcomes, plan) for metric in plan.metrics]
    kept = record or PlanRecord()
    gates = [
        checks.plan_gate(plan, kept, checks.first_exposure_of(enrolment)),
        checks.peeking_gate(plan, earlier_looks, as_of),
        checks.sample_ratio_gate(enrolment, plan),
        checks.propensity_gate(enrolment, plan),
        checks.crossover_gate(enrolment, plan),
        checks.exposure_days_gate(enrolment, plan, as_of),
        checks.unexposed_gate(outcomes, enrolment, plan),
        checks.balance_gate(values, outcomes, plan),
        checks.bots_gate(enrolment, plan),
        checks.rows_gate(enrolment),
        checks.values_gate(outcomes, values),
    ]
    verdict = refused(gates)
    metrics: list[MetricResult] = []
    days: list[GroupEffect] = []
    segments: list[SegmentEffects] = []
    if verdict is None:
        strata = segment_labels(plan.segments[0], outcomes) if plan.segments else None
        read = reader(plan, earlier_looks, as_of)
        metrics = _results(plan, values, outcomes, outcomes_log, strata, read, as_of)
        primary = next(v for v in values if v.metric.role == "primary")
        if primary.metric.kind != "quantile":
            days = effects_by_day(outcomes_log, primary, outcomes, plan, as_of=as_of)
        segments = _segments(plan, primary, outcomes, explored)
        verdict = decide(plan, [(m.metric, m.tested) for m in metrics], is_final=as_of >= plan.end)
    arm = outcomes.users["arm"]
    return Analysis(
        plan=plan,
        as_of=as_of,
        record=kept,
        num_users=(int((arm == CONTROL).sum()), int((arm == TREATMENT).sum())),
        counts=enrolment.counts | outcomes.counts,
        gates=gates,
        verdict=verdict,
        metrics=metrics,
        days=days,
        segments=segments,
        critical=critical_values(plan, earlier_looks, as_of),
        exposure_days=enrolment.days,
    )


def _results(
    plan: Plan,
    values: Sequence[MetricValues],
    outcomes: Outcomes,
    outcomes_log: pl.LazyFrame,
    strata: np.ndarray | None,
    read: Reader,
    as_of: datetime,
) -> list[MetricResult]:
    codes = None if strata is None else np.unique(strata, return_inverse=True)[1]
    found = []
    for value in values:
        events = None
        if value.metric.of == "events":
            measure = Measure(*value.metric.numerator)
            events = event_values(outcomes_log, outcomes, measure, plan, as_of=as_of)
        two = estimate(value, analysis=plan.analysis, strata_U=codes, events=events)
        found.append(_result(plan, value, two, read))
    return _with_family(plan, found)


def _result(plan: Plan, value: MetricValues, two: Estimated, read: Reader) -> MetricResult:
    metric = value.metric
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
        cap=value.cap,
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


def _segments(
    plan: Plan, primary: MetricValues, outcomes: Outcomes, explored: Sequence[str]
) -> list[SegmentEffects]:
    if primary.metric.kind == "quantile":
        return []
    labels = [(s.name, segment_labels(s, outcomes), True) for s in plan.segments]
    labels += [
        (name, column_labels(outcomes.users[told_as(name)]), False)
        for name in sorted(set(explored))
    ]
    return [
        segment_effects(name, groups, primary, plan, is_declared=is_declared)
        for name, groups, is_declared in labels
    ]
