"""What promoted units and others sold, period by period.

Shape suffixes: U units, P periods.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.abtest.campaign_plan import CampaignPlan
from recsys.abtest.outcomes import WANTED, Measure
from recsys.errors import ExperimentLogError

_LEAST_CONTROLS = 2


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What units sold in each period.

    Attributes:
        units: Names, sorted; those that sold nothing are there too.
        is_treated_U: Which were promoted, shape (U,).
        sales_UP: Shape (U, P); periods before the start come first.
        num_before: How many those are.
        unseen: Treated units that are in no row of the log, which count as having sold nothing.
    """

    units: list[str]
    is_treated_U: np.ndarray
    sales_UP: np.ndarray
    num_before: int
    unseen: list[str]


def sales_panel(plan: CampaignPlan, outcomes_log: pl.LazyFrame) -> Panel:
    """Sum sales by unit and period.

    Raises:
        ExperimentLogError: A column is missing, no unit is treated or is in the log, or too few are
            controls.
    """
    columns = outcomes_log.collect_schema().names()
    missing = [name for name in (*WANTED, plan.unit) if name not in columns]
    if missing:
        raise ExperimentLogError(
            f"the log of outcomes has no column {', '.join(missing)}, but {', '.join(columns)}"
        )
    if not plan.treated:
        raise ExperimentLogError("no unit is treated: name them in the plan, or give a file")
    if "quantity" not in columns:
        outcomes_log = outcomes_log.with_columns(quantity=pl.lit(1, dtype=pl.Int64))
    measure = Measure(plan.event, plan.value)
    summed = (
        in_periods(plan, outcomes_log)
        .filter((pl.col("event_type") == plan.event) & pl.col(plan.unit).is_not_null())
        .group_by(pl.col(plan.unit).cast(pl.String).alias("unit"), "period")
        .agg(measure.amount().sum().alias("sold"))
        .collect(engine="streaming")
    )
    treated = set(plan.treated)
    unseen = _unseen(outcomes_log, plan.unit, treated)
    if len(unseen) == len(treated):
        raise ExperimentLogError(
            f"no treated unit is in the column {plan.unit} of the log, such as {unseen[0]!r}: "
            "correct their names"
        )
    sold = summed
    if plan.method == "synthetic-control":
        sold = summed.filter(pl.col("period") < plan.num_periods_before)
    controls = (
        set(sold["unit"].to_list()) - treated if plan.controls is None else set(plan.controls)
    )
    if len(controls) < _LEAST_CONTROLS:
        raise ExperimentLogError(
            f"{len(controls)} units are controls, at least {_LEAST_CONTROLS} are needed: units "
            "that sold anything in the periods of the campaign, not treated"
        )
    units = sorted(treated | controls)
    place = {unit: n for n, unit in enumerate(units)}
    sales = np.zeros((len(units), plan.num_periods_before + plan.num_periods_after))
    for unit, period, sold in summed.iter_rows():
        if unit in place:
            sales[place[unit], period] = sold / measure.unit
    return Panel(
        units=units,
        is_treated_U=np.array([unit in treated for unit in units]),
        sales_UP=sales,
        num_before=plan.num_periods_before,
        unseen=unseen,
    )


def _unseen(outcomes_log: pl.LazyFrame, unit: str, treated: set[str]) -> list[str]:
    """Return the treated units that are in no row of the log."""
    seen = outcomes_log.select(pl.col(unit).cast(pl.String).alias("unit"))
    found = seen.filter(pl.col("unit").is_in(sorted(treated))).unique().collect(engine="streaming")
    return sorted(treated - set(found["unit"].to_list()))


def in_periods(plan: CampaignPlan, outcomes_log: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of the campaign's periods.

    Args:
        plan: Of the campaign.
        outcomes_log: With `event_time`.

    Returns:
        The same columns and `period`, counted from 0.
    """
    length = round(plan.period_days * 86_400_000_000)
    since = (pl.col("event_time") - pl.lit(plan.first)).dt.total_microseconds()
    return outcomes_log.filter(
        (pl.col("event_time") >= plan.first) & (pl.col("event_time") < plan.end)
    ).with_columns(period=since // length)
