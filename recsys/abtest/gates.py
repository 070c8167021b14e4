"""Whether data are fit to decide on: gates that can say no."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl
from scipy.stats import chi2_contingency, chisquare

from recsys.abtest.effects import difference, tail
from recsys.abtest.enrolment import CONTROL, TREATMENT, Enrolment
from recsys.abtest.estimates import Moments, mean_estimate
from recsys.abtest.looks import time_fraction, unplanned_looks
from recsys.abtest.metric_values import MetricValues
from recsys.abtest.outcomes import Outcomes
from recsys.abtest.plan import Plan

Status = Literal["pass", "warn", "refuse"]
_SHARE_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One check of the data.

    Attributes:
        name: Which check.
        status: `pass`; `warn`, which the reader must know; `refuse`, with which nothing can be
            decided.
        message: What was found.
        p_value: Where the check is a test.
    """

    name: str
    status: Status
    message: str
    p_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """What is known of when the plan was written down.

    Attributes:
        is_kept: Whether there is a record at all.
        first_seen: When the plan as it is now was first recorded; None if it never was.
        num_versions: How many different plans were recorded.
    """

    is_kept: bool = False
    first_seen: datetime | None = None
    num_versions: int = 0


def sample_ratio_p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return the p-value of arms of such sizes, were users assigned with such shares.

    Pearson's chi-square. Source: Fabijan et al. 2019, "Diagnosing sample ratio mismatch in online
    controlled experiments".

    >>> round(sample_ratio_p_value([502, 498], [0.5, 0.5]), 5)
    0.89934

    Args:
        counts: Users of each arm.
        shares: Planned, of any sum.
    """
    expected = np.asarray(shares) / np.sum(shares) * np.sum(counts)
    return float(chisquare(counts, expected).pvalue)


def sample_ratio_gate(enrolment: Enrolment, plan: Plan) -> Gate:
    """Refuse arms whose sizes are not those that were planned."""
    counts = [int((enrolment.users["arm"] == arm).sum()) for arm in (CONTROL, TREATMENT)]
    shares = [plan.control.share, plan.treatment.share]
    p_value = sample_ratio_p_value(counts, shares)
    found = counts[TREATMENT] / sum(counts)
    message = (
        f"{counts[CONTROL]:,} users of {plan.control.name} and {counts[TREATMENT]:,} of "
        f"{plan.treatment.name}: {found:.2%} are treated, {plan.treatment.share:.2%} were planned"
    )
    if p_value < plan.gates.srm_alpha:
        message += "; users were lost or assigned otherwise, so the arms are not alike"
        return Gate(name="sample ratio", status="refuse", message=message, p_value=p_value)
    return Gate(name="sample ratio", status="pass", message=message, p_value=p_value)


def propensity_gate(enrolment: Enrolment, plan: Plan) -> Gate:
    """Warn where the logged chances of variants are not the planned shares."""
    name = "assignment"
    if enrolment.propensities is None:
        message = "the log has no propensities of variants: shares are taken from the plan"
        return Gate(name=name, status="warn", message=message)
    pairs = zip(enrolment.propensities, (plan.control, plan.treatment), strict=True)
    off = [(logged, v) for logged, v in pairs if abs(logged - v.share) > _SHARE_TOLERANCE]
    if off:
        told = "; ".join(f"{v.name} {logged:.4f}, planned {v.share:.4f}" for logged, v in off)
        message = f"the log says that variants had other chances than planned: {told}"
        return Gate(name=name, status="refuse", message=message)
    return Gate(name=name, status="pass", message="logged chances of variants are as planned")


def crossover_gate(enrolment: Enrolment, plan: Plan) -> Gate:
    """Refuse where too many users saw both variants; those that did are left out."""
    both, exposed = (
        enrolment.counts["users_in_both_variants"],
        enrolment.counts["users_exposed"],
    )
    limit = plan.gates.max_crossover_share
    message = f"{both:,} of {exposed:,} users saw both variants and are left out"
    if both > limit * exposed:
        message += f": {both / exposed:.2%} is above {limit:.2%}, assignment does not hold"
        return Gate(name="one variant a user", status="refuse", message=message)
    return Gate(name="one variant a user", status="warn" if both else "pass", message=message)


def bots_gate(enrolment: Enrolment, plan: Plan) -> Gate:
    """Refuse where bots were removed from the arms unequally."""
    bots = enrolment.excluded_by_arm
    rule = f"more than {plan.bots.max_exposures_per_day:g} exposures a day"
    message = f"{bots[CONTROL]:,} and {bots[TREATMENT]:,} users left out as bots ({rule})"
    if not sum(bots):
        return Gate(name="bots", status="pass", message=message)
    p_value = sample_ratio_p_value(bots, [plan.control.share, plan.treatment.share])
    if p_value < plan.gates.srm_alpha:
        message += ": more in one arm, so that the rule itself may move the result"
        return Gate(name="bots", status="refuse", message=message, p_value=p_value)
    return Gate(name="bots", status="warn", message=message, p_value=p_value)


def rows_gate(enrolment: Enrolment) -> Gate:
    """Warn of rows that were left out, with counts."""
    names = {
        "rows_before_start": "before the start",
        "rows_of_other_variants": "of other variants",
        "rows_without_user": "without a user",
        "rows_without_time": "without a time",
        "rows_at_or_after_end": "at or after the end",
        "duplicate_exposures": "that say an exposure again",
    }
    left_out = [
        f"{enrolment.counts[key]:,} {words}"
        for key, words in names.items()
        if enrolment.counts[key]
    ]
    if not left_out:
        return Gate(name="rows left out", status="pass", message="no exposure is left out")
    message = f"of {enrolment.counts['rows']:,} exposures left out: {', '.join(left_out)}"
    return Gate(name="rows left out", status="warn", message=message)


def exposure_days_gate(enrolment: Enrolment, plan: Plan, as_of: datetime) -> Gate:
    """Refuse where a day has no exposures, or the arms' share of new users moves between days."""
    name = "exposures by day"
    last = min(plan.end, as_of)
    num_days = int((last - plan.start).total_seconds() // 86_400)
    seen = set(enrolment.days["day"].to_list())
    missing = [day for day in range(num_days) if day not in seen]
    if missing:
        told = ", ".join(str(day + 1) for day in missing[:5])
        message = (
            f"no exposure on {len(missing)} of {num_days} whole days (day {told}"
            f"{', ...' if len(missing) > 5 else ''}): exposures are missing from the log"
        )
        return Gate(name=name, status="refuse", message=message)
    table = enrolment.days.pivot("arm", index="day", values="num_users").fill_null(0).sort("day")
    counts = table.drop("day").to_numpy()
    counts = counts[counts.sum(1) >= 10]
    if len(counts) < 2 or (counts.sum(0) == 0).any():
        return Gate(name=name, status="pass", message="too few days to compare")
    p_value = float(np.asarray(chi2_contingency(counts)[1]))
    if p_value < plan.gates.srm_alpha:
        message = "the share of new users who are treated changes from day to day"
        return Gate(name=name, status="refuse", message=message, p_value=p_value)
    message = "exposures on every day, with the same share of treated users"
    return Gate(name=name, status="pass", message=message, p_value=p_value)


def unexposed_gate(outcomes: Outcomes, enrolment: Enrolment, plan: Plan) -> Gate:
    """Refuse where users have outcomes that name the experiment, but no exposure."""
    marked = outcomes.counts["users_marked_but_never_exposed"]
    never = outcomes.counts["users_never_exposed"]
    exposed = enrolment.counts["users_exposed"]
    limit = plan.gates.max_unexposed_share
    message = (
        f"{never:,} users acted while the experiment ran without an exposure, {marked:,} of them "
        f"with outcomes that name the experiment; {exposed:,} were exposed"
    )
    if marked > limit * (exposed + marked):
        message += f": more than {limit:.2%}, exposures are missing from the log"
        return Gate(name="missing exposures", status="refuse", message=message)
    return Gate(name="missing exposures", status="warn" if marked else "pass", message=message)


def balance_gate(values: Sequence[MetricValues], outcomes: Outcomes, plan: Plan) -> Gate:
    """Refuse arms that differed before: they were not assigned at random."""
    name = "balance before"
    if not outcomes.has_pre_period:
        message = "the log has nothing from before: balance cannot be seen, CUPED cannot help"
        return Gate(name=name, status="warn", message=message)
    arm = outcomes.users["arm"].to_numpy()
    pasts = {value.metric.name: value.top_before_U for value in values}
    pasts["events"] = outcomes.users["num_before"].to_numpy().astype(np.float64)
    found: dict[str, float] = {}
    for metric, past in pasts.items():
        if past.any() and min((arm == a).sum() for a in (CONTROL, TREATMENT)) > 1:
            two = [mean_estimate(Moments.of([past[arm == a]])) for a in (CONTROL, TREATMENT)]
            found[metric] = tail(difference(two[0], two[1]), sides="two", better="higher")
    if not found:
        return Gate(name=name, status="pass", message="no metric has a past")
    worst = min(found, key=lambda metric: found[metric])
    # Bonferroni: all metrics together have the size of the gate.
    p_value = min(1.0, found[worst] * len(found))
    if p_value < plan.gates.balance_alpha:
        message = f"the arms differed in {worst} before anybody was exposed"
        return Gate(name=name, status="refuse", message=message, p_value=p_value)
    message = f"the arms were alike before the first exposure, in {len(found)} measures"
    return Gate(name=name, status="pass", message=message, p_value=p_value)


def peeking_gate(plan: Plan, earlier: Sequence[datetime], as_of: datetime) -> Gate:
    """Refuse an early look that no stop rule allows; warn of those that were taken before."""
    name = "looks"
    unplanned = unplanned_looks(plan, earlier, as_of)
    share = time_fraction(plan, as_of)
    if plan.sequential.method == "none" and as_of < plan.end:
        message = (
            f"{share:.0%} of the planned time is over and the plan has no sequential test: "
            f"wait until {plan.end.isoformat()}, an early look would find differences by chance"
        )
        return Gate(name=name, status="refuse", message=message)
    if unplanned:
        told = ", ".join(moment.isoformat() for moment in unplanned[:5])
        message = f"{len(unplanned)} looks before the end that the plan does not have: {told}"
        if plan.sequential.method == "none":
            message += "; the interval holds only if nobody would have stopped at them"
        return Gate(name=name, status="warn", message=message)
    message = f"looks are as planned ({plan.sequential.method}), {share:.0%} of the time is over"
    return Gate(name=name, status="pass", message=message)


def plan_gate(plan: Plan, record: PlanRecord, first_exposure: datetime) -> Gate:
    """Mark a plan that was not written down, as it is, before the first exposure."""
    name = "plan"
    if not record.is_kept:
        message = (
            "nothing shows that the plan is older than the data: run `sentirec abtest plan` before "
            "the start"
        )
        return Gate(name=name, status="warn", message=message)
    if record.first_seen is None:
        message = "the plan differs from the one that was recorded: changed after it was locked"
        return Gate(name=name, status="warn", message=message)
    seen = record.first_seen.isoformat()
    if record.first_seen > first_exposure:
        message = (
            f"the plan was first recorded at {seen}, after the first exposure at "
            f"{first_exposure.isoformat()}: it may have been written for the result"
        )
        return Gate(name=name, status="warn", message=message)
    return Gate(name=name, status="pass", message=f"recorded at {seen}, before the first exposure")


def values_gate(outcomes: Outcomes, values: Sequence[MetricValues]) -> Gate:
    """Warn of metrics that never occur, and of events whose value is not known."""
    told = [f"{v.metric.name} is zero for all" for v in values if not v.top_U.any()]
    for measure in outcomes.measures:
        num = outcomes.counts[f"{measure.event}_without_{measure.value}"]
        if num:
            told.append(f"{num:,} {measure.event} events without {measure.value} count as nothing")
    if told:
        return Gate(name="values", status="warn", message="; ".join(told))
    return Gate(name="values", status="pass", message="every metric occurs, with known values")


def first_exposure_of(enrolment: Enrolment) -> datetime:
    """Return when the first user entered."""
    return pl.Series([enrolment.users["entry_us"].min()]).cast(pl.Datetime("us", "UTC")).item()
