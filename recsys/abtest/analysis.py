"""From a plan and two logs to a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.abtest.enrolment import enrol, told_as
from recsys.abtest.exposure_rows import CONTROL, TREATMENT
from recsys.abtest.gates import (
    Gate,
    balance_gate,
    bots_gate,
    crossover_gate,
    propensity_gate,
    sample_ratio_gate,
)
from recsys.abtest.log_gates import (
    exposure_days_gate,
    rows_gate,
    unexposed_gate,
    values_gate,
)
from recsys.abtest.looks import critical_values, reader
from recsys.abtest.metric_results import MetricResult, metric_results
from recsys.abtest.metric_values import MetricValues, metric_values
from recsys.abtest.outcomes import Outcomes, join_outcomes
from recsys.abtest.plan import Plan
from recsys.abtest.plan_gates import PlanRecord, first_exposure_of, peeking_gate, plan_gate
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
        plan_gate(plan, kept, first_exposure_of(enrolment)),
        peeking_gate(plan, earlier_looks, as_of),
        sample_ratio_gate(enrolment, plan),
        propensity_gate(enrolment, plan),
        crossover_gate(enrolment, plan),
        exposure_days_gate(enrolment, plan, as_of),
        unexposed_gate(outcomes, enrolment, plan),
        balance_gate(values, outcomes, plan),
        bots_gate(enrolment, plan),
        rows_gate(enrolment),
        values_gate(outcomes, values),
    ]
    verdict = refused(gates)
    metrics: list[MetricResult] = []
    days: list[GroupEffect] = []
    segments: list[SegmentEffects] = []
    if verdict is None:
        strata = segment_labels(plan.segments[0], outcomes) if plan.segments else None
        read = reader(plan, earlier_looks, as_of)
        metrics = metric_results(plan, values, outcomes, outcomes_log, strata, read, as_of)
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
