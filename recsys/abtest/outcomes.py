"""What users did within the window after their first exposure, and before it.

Everything is summed in whole numbers, whose sums do not depend on the order of rows: cents and
counts as they are, polarities and other values in millionths.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.abtest.enrolment import Enrolment, user_key
from recsys.abtest.exposure_rows import US_PER_DAY, epoch_us
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import EXPOSURE, JUDGED, REVIEW, MetricSection
from recsys.errors import ExperimentLogError

MILLIONTHS = 1_000_000
WANTED = ("user_id", "event_type", "event_time")
_NEEDS = {
    "cents": "price_cents",
    "quantity": "quantity",
    "polarity": "polarity",
    JUDGED: "polarity",
    "value": "value",
}
_IN_MILLIONTHS = ("polarity", "value")
# Whole numbers up to it are exact as floats, and thousands of them have a sum of 64 bits.
_MOST_AMOUNT = 1e15


@dataclass(frozen=True, order=True)
class Measure:
    """A sum over events of one kind.

    Attributes:
        event: Its kind.
        value: What an event weighs: see `recsys.abtest.plan_sections.Value`.
    """

    event: str
    value: str

    @property
    def unit(self) -> int:
        """How many of the whole numbers that are summed make one."""
        return MILLIONTHS if self.value in _IN_MILLIONTHS else 1

    def amount(self) -> pl.Expr:
        """Return what a row adds, a whole number; null where its value is not known.

        What is no number, or too large for sums of it to be exact, is not known.
        """
        quantity = pl.col("quantity").fill_null(1).cast(pl.Int64)
        weights = {
            "count": pl.lit(1, dtype=pl.Int64),
            "cents": _whole(pl.col("price_cents").cast(pl.Float64) * quantity),
            "quantity": quantity,
            JUDGED: pl.col("polarity").is_not_null().cast(pl.Int64),
            "polarity": _whole(pl.col("polarity").cast(pl.Float64) * MILLIONTHS),
            "value": _whole(pl.col("value").cast(pl.Float64) * MILLIONTHS),
        }
        return pl.when(pl.col("event_type") == self.event).then(weights[self.value])


def _whole(amount: pl.Expr) -> pl.Expr:
    # NaN is above every bound.
    is_known = (amount <= _MOST_AMOUNT) & (amount >= -_MOST_AMOUNT)
    return pl.when(is_known).then(amount.round()).cast(pl.Int64)


OPINION = Measure(REVIEW, "polarity")
OPINIONS = Measure(REVIEW, JUDGED)


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Sums a user, and what was read and left out.

    Attributes:
        users: Those of the enrolment that count, with `after_<m>`, `before_<m>` a measure, whole
            numbers in its unit; `num_before` events in the pre-period; `ever_opinion` and
            `ever_opinions` of all reviews before. Sorted by `key`.
        measures: The m-th is that of `after_<m>`.
        counts: Rows read and left out, users without an exposure.
        has_pre_period: Whether any user has any event before the first exposure.
    """

    users: pl.DataFrame
    measures: tuple[Measure, ...]
    counts: dict[str, int]
    has_pre_period: bool

    def place(self, measure: tuple[str, str]) -> int:
        """Return the number of a measure in the names of columns."""
        return self.measures.index(Measure(*measure))


def measures_of(metrics: Iterable[MetricSection]) -> tuple[Measure, ...]:
    """Return what has to be summed for some metrics, each once, in a fixed order."""
    found = set()
    for metric in metrics:
        found.add(Measure(*metric.numerator))
        if metric.denominator is not None and metric.denominator[0] != EXPOSURE:
            found.add(Measure(*metric.denominator))
    return tuple(sorted(found))


def join_outcomes(
    outcomes: pl.LazyFrame, enrolment: Enrolment, plan: Plan, *, as_of: datetime
) -> Outcomes:
    """Sum what enrolled users did, in bounded memory: what is held grows with users.

    Args:
        outcomes: `user_id, event_type, event_time` (UTC, µs), and what metrics ask for: `quantity`
            (null is one), `price_cents` of one unit, `polarity`, `value`; where there is,
            `experiment`.
        enrolment: Who takes part since when.
        plan: An outcome counts from the first exposure on, until `window_days` later; before it,
            it belongs to the pre-period for `pre_period_days`.
        as_of: Rows at or after it are not used.

    Raises:
        ExperimentLogError: A column is missing.
    """
    measures = measures_of(plan.metrics)
    columns = outcomes.collect_schema().names()
    check_columns(columns, plan.metrics)
    if "quantity" not in columns:
        outcomes = outcomes.with_columns(quantity=pl.lit(1, dtype=pl.Int64))
    asks_opinion = any(s.by == "unhappy-users" for s in plan.segments)
    if asks_opinion and "polarity" not in columns:
        raise ExperimentLogError(
            "a segment by unhappy users needs the column polarity of reviews, but the outcomes "
            f"have {', '.join(columns)}: score reviews first, or take the segment out of the plan"
        )
    until = epoch_us(as_of)
    users = _in_time(enrolment.users, plan, until)
    since = pl.col("time_us") - pl.col("entry_us")
    rows = outcomes.with_columns(user_key(), time_us=pl.col("event_time").dt.epoch("us")).filter(
        pl.col("time_us") < until
    )
    joined = rows.join(users.lazy().select("key", "entry_us"), on="key", how="inner")
    after = (since >= 0) & (since < round(plan.window_days * US_PER_DAY))
    before = (since < 0) & (since >= -round(plan.pre_period_days * US_PER_DAY))
    sums = [
        measure.amount().filter(when).sum().alias(f"{name}_{place}")
        for place, measure in enumerate(measures)
        for name, when in (("after", after), ("before", before))
    ]
    sums.append(before.sum().cast(pl.Int64).alias("num_before"))
    if asks_opinion:
        sums.append(OPINION.amount().filter(since < 0).sum().alias("ever_opinion"))
        sums.append(OPINIONS.amount().filter(since < 0).sum().alias("ever_opinions"))
    unknown = [
        (after & (pl.col("event_type") == m.event) & m.amount().is_null())
        .sum()
        .alias(f"unknown_{n}")
        for n, m in enumerate(measures)
    ]
    counted = [pl.len().cast(pl.Int64).alias("rows"), after.sum().cast(pl.Int64).alias("rows_in")]
    per_user = joined.group_by("key").agg(*sums, *unknown, *counted).collect(engine="streaming")
    told = per_user.drop("rows", "rows_in", *(f"unknown_{n}" for n in range(len(measures))))
    timeless = outcomes.select(pl.col("event_time").is_null().sum().cast(pl.Int64))
    counts = {
        "outcomes_without_time": int(timeless.collect(engine="streaming").item()),
        "outcomes_of_users": int(per_user["rows"].sum()),
        "outcomes_in_window": int(per_user["rows_in"].sum()),
        "users_whose_window_is_not_over": _num_in_progress(users, plan, until),
        "users_left_out_in_progress": len(enrolment.users) - len(users),
    }
    for place, measure in enumerate(measures):
        num_unknown = int(per_user[f"unknown_{place}"].sum())
        counts[f"{measure.event}_without_{measure.value}"] = num_unknown
    counts |= _unexposed(rows, columns, enrolment, plan)
    joined_users = users.join(told, on="key", how="left").sort("key")
    filled = joined_users.with_columns(pl.col(n).fill_null(0) for n in told.columns if n != "key")
    return Outcomes(
        users=filled,
        measures=measures,
        counts=counts,
        has_pre_period=bool((filled["num_before"] > 0).any()),
    )


def event_values(
    outcomes_log: pl.LazyFrame, outcomes: Outcomes, measure: Measure, plan: Plan, *, as_of: datetime
) -> pl.DataFrame:
    """Return the values of single events within users' windows, for quantiles of events.

    Args:
        outcomes_log: As `join_outcomes` has it.
        outcomes: Whose users take part.
        measure: Which events, and what of them.
        plan: Of the experiment.
        as_of: Rows at or after it are not used.

    Returns:
        `row` (place of the user), `value`, sorted; values that are not known are left out.
    """
    users = outcomes.users.select("key", "entry_us").with_row_index("row")
    if "quantity" not in outcomes_log.collect_schema().names():
        outcomes_log = outcomes_log.with_columns(quantity=pl.lit(1, dtype=pl.Int64))
    since = pl.col("time_us") - pl.col("entry_us")
    return (
        outcomes_log.filter(pl.col("event_type") == measure.event)
        .with_columns(user_key(), time_us=pl.col("event_time").dt.epoch("us"))
        .filter(pl.col("time_us") < epoch_us(as_of))
        .join(users.lazy(), on="key", how="inner")
        .filter((since >= 0) & (since < round(plan.window_days * US_PER_DAY)))
        .select("row", value=measure.amount() / measure.unit)
        .drop_nulls()
        .collect(engine="streaming")
        .sort("row", "value")
    )


def check_columns(columns: list[str], metrics: Iterable[MetricSection]) -> None:
    """Say what a log of outcomes lacks.

    Raises:
        ExperimentLogError: A column is missing; the message names the metric that asks for it.
    """
    missing = [name for name in WANTED if name not in columns]
    if missing:
        raise ExperimentLogError(
            f"the log of outcomes has no column {', '.join(missing)}, but {', '.join(columns)}"
        )
    for metric in metrics:
        for measure in filter(None, (metric.numerator, metric.denominator)):
            needed = _NEEDS.get(measure[1])
            if needed is not None and needed != "quantity" and needed not in columns:
                raise ExperimentLogError(
                    f"metric {metric.name!r} needs the column {needed} in the log of outcomes, "
                    f"which has {', '.join(columns)}"
                )


def _in_time(users: pl.DataFrame, plan: Plan, until: int) -> pl.DataFrame:
    if plan.in_progress == "keep":
        return users
    return users.filter(pl.col("entry_us") + round(plan.window_days * US_PER_DAY) <= until)


def _num_in_progress(users: pl.DataFrame, plan: Plan, until: int) -> int:
    return int((users["entry_us"] + round(plan.window_days * US_PER_DAY) > until).sum())


def _unexposed(
    rows: pl.LazyFrame, columns: list[str], enrolment: Enrolment, plan: Plan
) -> dict[str, int]:
    """Count users with outcomes while the experiment ran who were never exposed."""
    started = rows.filter((pl.col("time_us") >= epoch_us(plan.start)) & pl.col("key").is_not_null())
    ours = pl.col("experiment") == plan.name if "experiment" in columns else pl.lit(False)
    never = (
        started.group_by("key")
        .agg(ours.fill_null(False).any().alias("is_ours"))
        .join(enrolment.exposed.to_frame("key").lazy(), on="key", how="anti")
        .select(
            pl.len().cast(pl.Int64).alias("users_never_exposed"),
            pl.col("is_ours").sum().cast(pl.Int64).alias("users_marked_but_never_exposed"),
        )
        .collect(engine="streaming")
    )
    return never.row(0, named=True)
