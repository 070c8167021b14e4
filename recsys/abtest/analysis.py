"""From a plan and two logs to a verdict."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from recsys.abtest.days import effects_by_day
from recsys.abtest.enrolled import check_arms, merged
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
from recsys.abtest.metric_estimates import estimate
from recsys.abtest.metric_quantiles import caps_of, quantile_of
from recsys.abtest.metric_results import MetricResult, metric_results
from recsys.abtest.metric_sums import MetricSums, columns_of, events_before
from recsys.abtest.outcomes import measures_of
from recsys.abtest.parts import (
    Each,
    PartInMemory,
    PartRead,
    UserSums,
    day_sums,
    read_part,
    sum_users,
)
from recsys.abtest.plan import Plan
from recsys.abtest.plan_gates import PlanRecord, first_exposure_of, peeking_gate, plan_gate
from recsys.abtest.plan_sections import EXPOSURE
from recsys.abtest.segments import (
    GroupEffect,
    Grouping,
    SegmentEffects,
    groupings_of,
    most_frequent,
    segment_effects,
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
    part = PartInMemory(exposures_log=exposures, outcomes_log=outcomes_log)
    return analyse_parts(
        plan,
        lambda function, *arguments: [function(part, *arguments)],
        as_of=as_of,
        earlier_looks=earlier_looks,
        record=record,
        explored=explored,
    )


def analyse_parts(
    plan: Plan,
    each: Each,
    *,
    as_of: datetime,
    earlier_looks: Sequence[datetime] = (),
    record: PlanRecord | None = None,
    explored: Sequence[str] = (),
) -> Analysis:
    """Analyse an experiment whose users lie in parts; what is held does not grow with users.

    The result is the same however users are cut into parts: counts and sums are whole numbers, and
    quantiles are found by counting, in passes. Only the distinct values of the columns of segments
    are held together.

    Args:
        plan: What is asked.
        each: Calls functions with every part; see `recsys.abtest.parts`.
        as_of: Rows at or after it are not used.
        earlier_looks: When else the data were looked at.
        record: When the plan was written down; None where nothing is known.
        explored: Columns of exposures to look for heterogeneity that the plan does not name.

    Raises:
        ExperimentLogError: A column is missing, or an arm is empty.
    """
    groupings = groupings_of(plan, explored)
    named = sorted({grouping.column for grouping in groupings if grouping.column is not None})
    read = each(read_part, plan, as_of, named)
    enrolled = merged([part.enrolled for part in read])
    check_arms(enrolled, plan)
    counts = {name: sum(part.counts[name] for part in read) for name in read[0].counts}
    groupings = [_with_names(grouping, read) for grouping in groupings]
    sums = _summed(plan, each, groupings)
    kept = record or PlanRecord()
    gates = [
        plan_gate(plan, kept, first_exposure_of(enrolled)),
        peeking_gate(plan, earlier_looks, as_of),
        sample_ratio_gate(enrolled, plan),
        propensity_gate(enrolled, plan),
        crossover_gate(enrolled, plan),
        exposure_days_gate(enrolled, plan, as_of),
        unexposed_gate(counts, enrolled, plan),
        balance_gate(
            [*sums.metrics, sums.events],
            has_pre_period=any(part.has_pre_period for part in read),
            plan=plan,
        ),
        bots_gate(enrolled, plan),
        rows_gate(enrolled),
        values_gate(counts, measures_of(plan.metrics), sums.metrics),
    ]
    verdict = refused(gates)
    metrics: list[MetricResult] = []
    days: list[GroupEffect] = []
    segments: list[SegmentEffects] = []
    if verdict is None:
        estimates = [
            quantile_of(place, one, plan, each)
            if metric.kind == "quantile"
            else estimate(one, analysis=plan.analysis, strata=sums.strata[place])
            for place, (metric, one) in enumerate(zip(plan.metrics, sums.metrics, strict=True))
        ]
        metrics = metric_results(plan, sums.metrics, estimates, reader(plan, earlier_looks, as_of))
        days = _days(plan, each, sums, as_of)
        segments = [
            segment_effects(grouping, of_groups, plan)
            for grouping, of_groups in zip(groupings, sums.groups, strict=False)
        ]
        verdict = decide(plan, [(m.metric, m.tested) for m in metrics], is_final=as_of >= plan.end)
    return Analysis(
        plan=plan,
        as_of=as_of,
        record=kept,
        num_users=(sums.events.num(CONTROL), sums.events.num(TREATMENT)),
        counts=enrolled.counts | counts,
        gates=gates,
        verdict=verdict,
        metrics=metrics,
        days=days,
        segments=segments,
        critical=critical_values(plan, earlier_looks, as_of),
        exposure_days=enrolled.days,
    )


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Sums of all users; `strata` has None where a metric has none, `groups` of the primary."""

    metrics: list[MetricSums]
    events: MetricSums
    groups: list[MetricSums]
    strata: list[MetricSums | None]


def _summed(plan: Plan, each: Each, groupings: Sequence[Grouping]) -> _Sums:
    columns = [columns_of(metric, plan, caps_of(metric, plan, each)) for metric in plan.metrics]
    has_strata = plan.analysis == "post-stratified" and bool(plan.segments)
    place = plan.metrics.index(plan.primary)
    of_primary = None if plan.primary.kind == "quantile" else columns[place]
    found: list[UserSums] = each(sum_users, columns, of_primary, groupings, has_strata)
    strata: list[MetricSums | None] = [None] * len(columns)
    if has_strata:
        strata = [
            MetricSums.of([part.strata[n] for part in found], one, metric)
            for n, (metric, one) in enumerate(zip(plan.metrics, columns, strict=True))
        ]
    return _Sums(
        metrics=[
            MetricSums.of([part.metrics[n] for part in found], one, metric)
            for n, (metric, one) in enumerate(zip(plan.metrics, columns, strict=True))
        ],
        events=MetricSums.of([part.events for part in found], events_before(), None),
        groups=[
            MetricSums.of([part.groups[n] for part in found], columns[place], plan.primary)
            for n in range(len(found[0].groups))
        ],
        strata=strata,
    )


def _days(plan: Plan, each: Each, sums: _Sums, as_of: datetime) -> list[GroupEffect]:
    metric = plan.primary
    if metric.kind == "quantile" or (metric.denominator or ("",))[0] == EXPOSURE:
        return []
    cap = sums.metrics[plan.metrics.index(metric)].cap
    return effects_by_day(each(day_sums, plan, cap, as_of), plan)


def _with_names(grouping: Grouping, read: Sequence[PartRead]) -> Grouping:
    if grouping.column is None:
        return grouping
    names: Counter[str] = Counter()
    for part in read:
        names.update(part.names[grouping.column])
    return replace(grouping, kept=most_frequent(names))
