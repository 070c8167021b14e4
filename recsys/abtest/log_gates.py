"""Whether the logs are whole: rows left out, days and users that are missing, unknown values."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from scipy.stats import chi2_contingency

from recsys.abtest.enrolled import Enrolled
from recsys.abtest.gates import Gate
from recsys.abtest.metric_sums import MetricSums
from recsys.abtest.outcomes import Measure
from recsys.abtest.plan import Plan


def rows_gate(enrolment: Enrolled) -> Gate:
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


def exposure_days_gate(enrolment: Enrolled, plan: Plan, as_of: datetime) -> Gate:
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
            f"{', ...' if len(missing) > 5 else ''})"
        )
        # With few users a day may be empty by chance.
        by_chance = num_days * math.exp(-sum(enrolment.num_by_arm) / num_days)
        if by_chance >= plan.gates.srm_alpha:
            return Gate(name=name, status="warn", message=f"{message}: few users, or rows are lost")
        message += ": exposures are missing from the log"
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


def unexposed_gate(counts: Mapping[str, int], enrolment: Enrolled, plan: Plan) -> Gate:
    """Refuse where users have outcomes that name the experiment, but no exposure."""
    marked = counts["users_marked_but_never_exposed"]
    never = counts["users_never_exposed"]
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


def values_gate(
    counts: Mapping[str, int], measures: Sequence[Measure], sums: Sequence[MetricSums]
) -> Gate:
    """Warn of metrics that never occur, and of events whose value is not known."""
    told = [f"{s.name} is zero for all" for s in sums if not s.occurs("top")]
    for measure in measures:
        num = counts[f"{measure.event}_without_{measure.value}"]
        if num:
            told.append(f"{num:,} {measure.event} events without {measure.value} count as nothing")
    if told:
        return Gate(name="values", status="warn", message="; ".join(told))
    return Gate(name="values", status="pass", message="every metric occurs, with known values")
