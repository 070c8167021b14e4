"""Whether users were assigned as planned: gates that can say no."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import chisquare

from recsys.abtest.effects import difference, tail
from recsys.abtest.enrolled import Enrolled
from recsys.abtest.estimates import mean_estimate
from recsys.abtest.exposure_rows import CONTROL, TREATMENT
from recsys.abtest.metric_sums import MetricSums
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


def sample_ratio_gate(enrolment: Enrolled, plan: Plan) -> Gate:
    """Refuse arms whose sizes are not those that were planned."""
    counts = enrolment.num_by_arm
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


def propensity_gate(enrolment: Enrolled, plan: Plan) -> Gate:
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


def crossover_gate(enrolment: Enrolled, plan: Plan) -> Gate:
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


def bots_gate(enrolment: Enrolled, plan: Plan) -> Gate:
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


def balance_gate(sums: Sequence[MetricSums], *, has_pre_period: bool, plan: Plan) -> Gate:
    """Refuse arms that differed before: they were not assigned at random.

    Args:
        sums: Of each metric, and of all events.
        has_pre_period: Whether any user has any event before the first exposure.
        plan: Of the experiment.
    """
    name = "balance before"
    if not has_pre_period:
        message = "the log has nothing from before: balance cannot be seen, CUPED cannot help"
        return Gate(name=name, status="warn", message=message)
    found: dict[str, float] = {}
    for past in sums:
        if past.occurs("before") and min(past.num(arm) for arm in (CONTROL, TREATMENT)) > 1:
            two = [mean_estimate(past.moments_of(["before"], a)) for a in (CONTROL, TREATMENT)]
            found[past.name] = tail(difference(two[0], two[1]), sides="two", better="higher")
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
