"""Which rows of a log of exposures count."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recsys.abtest.plan import Plan

CONTROL, TREATMENT, OTHER = 0, 1, 2
US_PER_DAY = 86_400_000_000
# Recommendations are compared in parts of about so many rows, 8 bytes each.
_ROWS_AT_ONCE = 20_000_000
_IDENTITY = ["shown", "key", "arm"]


def exclusions(plan: Plan, as_of: datetime) -> tuple[dict[str, pl.Expr], pl.Expr]:
    """Return why rows are left out, and which are kept.

    Args:
        plan: Of the experiment.
        as_of: Rows at or after it are not used.

    Returns:
        Expressions over `no_user, time_us, arm`: a name and a condition each, of which one holds
        for a row at most; and the condition of rows that are kept.
    """
    start, end, until = (epoch_us(moment) for moment in (plan.start, plan.end, as_of))
    time = pl.col("time_us")
    reasons = {
        "rows_without_user": pl.col("no_user"),
        "rows_without_time": time.is_null(),
        "rows_at_or_after_as_of": time >= until,
        "rows_before_start": time < start,
        "rows_at_or_after_end": time >= end,
        "rows_of_other_variants": pl.col("arm") == OTHER,
    }
    found, earlier = {}, pl.lit(False)
    for name, reason in reasons.items():
        reason = reason.fill_null(False)
        found[name] = reason & ~earlier
        earlier = earlier | reason
    return found, ~earlier


def without_duplicates(rows: pl.LazyFrame, named: bool, num_rows: int) -> tuple[pl.LazyFrame, int]:
    """Keep one row a recommendation, the first; two variants of it stay two.

    Args:
        rows: With `shown`, the hash of the recommendation, where `named`.
        named: Whether the log names recommendations.
        num_rows: How many rows the log has.

    Returns:
        The rows, and how many were left out.
    """
    if not named:
        return rows, 0
    num_parts = 1 + num_rows // _ROWS_AT_ONCE
    num_twice = sum(
        _num_twice(rows.filter(pl.col("shown") % num_parts == part)) for part in range(num_parts)
    )
    if not num_twice:
        return rows, 0
    others = [name for name in rows.collect_schema().names() if name not in _IDENTITY]
    first = rows.filter(pl.col("shown").is_not_null()).group_by(_IDENTITY)
    once = first.agg(pl.col("time_us").min(), *(pl.col(n).min() for n in others if n != "time_us"))
    unnamed = rows.filter(pl.col("shown").is_null())
    return pl.concat([once, unnamed], how="diagonal"), num_twice


def _num_twice(rows: pl.LazyFrame) -> int:
    """Count the rows of a user whose recommendation an earlier one has, too, in that variant."""
    same = rows.select(pl.struct(_IDENTITY).hash().alias("same")).collect(engine="streaming")
    shown = np.sort(same["same"].to_numpy())
    return int((shown[1:] == shown[:-1]).sum())


def epoch_us(moment: datetime) -> int:
    """Return microseconds since 1970, exact."""
    return (moment - datetime.fromtimestamp(0, moment.tzinfo)) // timedelta(microseconds=1)
