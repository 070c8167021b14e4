"""Whether the question is older than the answer: gates of plans and of looks at the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.abtest.enrolled import Enrolled
from recsys.abtest.gates import Gate
from recsys.abtest.looks import time_fraction, unplanned_looks
from recsys.abtest.plan import Plan


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
    if plan.sequential.method == "none":
        message = "one look, after the end"
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


def first_exposure_of(enrolment: Enrolled) -> datetime:
    """Return when the first user entered."""
    return pl.Series([enrolment.first_us]).cast(pl.Datetime("us", "UTC")).item()
