"""Who takes part: a log of exposures becomes one row a user.

Users are known by a 64-bit hash of their id from here on: of ten million users, two share one with
a chance of 3 in a million, and would then count as one user.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.abtest.enrolled import Enrolled, check_arms
from recsys.abtest.exposure_rows import (
    CONTROL,
    OTHER,
    TREATMENT,
    US_PER_DAY,
    epoch_us,
    exclusions,
    without_duplicates,
)
from recsys.abtest.plan import Plan
from recsys.errors import ExperimentLogError

WANTED = ("user_id", "variant", "event_time")


@dataclass(frozen=True, kw_only=True)
class Enrolment(Enrolled):
    """Users of both arms, and what was left out.

    Attributes:
        users: `key, arm, entry_us, num_exposures` and what columns of segments say first, named by
            `told_as`, sorted by `key`; `entry_us` is the time of the first exposure, µs since 1970.
        exposed: Keys of all that were exposed, those left out among them.
    """

    users: pl.DataFrame
    exposed: pl.Series


def user_key() -> pl.Expr:
    """Return the hash by which users are known; null where there is no user."""
    return _hashed("user_id").alias("key")


def told_as(column: str) -> str:
    """Return the name that a column of exposures has among users."""
    return f"first {column}"


def enrol(
    exposures: pl.LazyFrame,
    plan: Plan,
    *,
    as_of: datetime,
    explored: Sequence[str] = (),
    is_part: bool = False,
) -> Enrolment:
    """Read who was exposed to what first, in bounded memory: what is held grows with users.

    Args:
        exposures: `user_id, variant, event_time` (UTC, µs); where there are, `recommendation_id`,
            `experiment`, `policy_propensity` and the columns of segments.
        plan: Of the experiment.
        as_of: Rows at or after it are not used.
        explored: Further columns whose value at the first exposure is wanted.
        is_part: Whether others have more users, so that an arm may be empty here.

    Returns:
        Users of one variant each. Left out, with counts: rows of other experiments or variants,
        without a user, before the start, at or after the end or `as_of`, duplicates by
        `recommendation_id`; users seen in both variants, and bots.

    Raises:
        ExperimentLogError: A column is missing, or an arm is empty.
    """
    columns = exposures.collect_schema().names()
    of_segments = {s.column for s in plan.segments if s.column is not None}
    declared = tuple(sorted({*of_segments, *explored}))
    _check_columns(columns, declared)
    rows = exposures.select(
        user_key(),
        pl.col("user_id").is_null().alias("no_user"),
        pl.col("variant")
        .replace_strict(
            {plan.control.name: CONTROL, plan.treatment.name: TREATMENT},
            default=OTHER,
            return_dtype=pl.Int8,
        )
        .alias("arm"),
        pl.col("event_time").dt.epoch("us").alias("time_us"),
        _is_of(plan, columns).alias("is_ours"),
        *([_hashed("recommendation_id").alias("shown")] if _named(columns) else []),
        *([pl.col("policy_propensity").alias("chance")] if "policy_propensity" in columns else []),
        *(pl.col(name).cast(pl.String).alias(told_as(name)) for name in declared),
    )
    wrong, kept = exclusions(plan, as_of)
    flags = [(pl.col("is_ours") & when).sum().alias(name) for name, when in wrong.items()]
    read = rows.select(
        pl.len().alias("rows"),
        (~pl.col("is_ours")).sum().alias("rows_of_other_experiments"),
        *flags,
    ).collect(engine="streaming")
    counts: dict[str, int] = read.row(0, named=True)
    rows = rows.filter(pl.col("is_ours") & kept)
    rows, counts["duplicate_exposures"] = without_duplicates(rows, _named(columns), counts["rows"])
    per_user = _per_user(rows)
    users, bots, in_both = _people(per_user, plan)
    counts |= {
        "users_exposed": len(per_user),
        "users_in_both_variants": in_both,
        "bots": sum(bots),
        "users": len(users),
    }
    found = Enrolment(
        users=_with_columns(users, rows, declared),
        exposed=per_user["key"],
        counts=counts,
        num_by_arm=(int((users["arm"] == CONTROL).sum()), int((users["arm"] == TREATMENT).sum())),
        first_us=users["entry_us"].min(),  # pyright: ignore[reportArgumentType]
        days=_by_day(rows, users, plan),
        excluded_by_arm=bots,
        chances=_chances(rows) if "policy_propensity" in columns else None,
    )
    if not is_part:
        check_arms(found, plan)
    return found


def _hashed(column: str) -> pl.Expr:
    # Null has a hash, too.
    return pl.when(pl.col(column).is_not_null()).then(pl.col(column).hash())


def _check_columns(columns: list[str], declared: tuple[str, ...]) -> None:
    missing = [name for name in (*WANTED, *declared) if name not in columns]
    if missing:
        raise ExperimentLogError(
            f"the log of exposures has no column {', '.join(missing)}, but {', '.join(columns)}: "
            "name its columns so, or take the segment out of the plan or of what is explored"
        )


def _named(columns: list[str]) -> bool:
    return "recommendation_id" in columns


def _is_of(plan: Plan, columns: list[str]) -> pl.Expr:
    if "experiment" not in columns:
        return pl.lit(True)
    return pl.col("experiment").fill_null(plan.name) == plan.name


def _per_user(rows: pl.LazyFrame) -> pl.DataFrame:
    return (
        rows.group_by("key")
        .agg(
            pl.col("arm").min().alias("arm"),
            pl.col("arm").max().alias("other_arm"),
            pl.col("time_us").min().alias("entry_us"),
            pl.col("time_us").max().alias("last_us"),
            pl.len().cast(pl.Int64).alias("num_exposures"),
        )
        .collect(engine="streaming")
        .sort("key")
    )


def _people(per_user: pl.DataFrame, plan: Plan) -> tuple[pl.DataFrame, tuple[int, int], int]:
    """Return users of one arm that are no bots, the bots of both arms, and users of both."""
    days = (pl.col("last_us") - pl.col("entry_us")) // US_PER_DAY + 1
    is_bot = pl.col("num_exposures") > plan.bots.max_exposures_per_day * days
    single = per_user.filter(pl.col("arm") == pl.col("other_arm"))
    bots = single.filter(is_bot)["arm"]
    users = single.filter(~is_bot).select("key", "arm", "entry_us", "num_exposures")
    num_bots = (int((bots == CONTROL).sum()), int((bots == TREATMENT).sum()))
    return users, num_bots, len(per_user) - len(single)


def _by_day(rows: pl.LazyFrame, users: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    day = (pl.col("time_us") - epoch_us(plan.start)) // US_PER_DAY
    shown = (
        rows.group_by(day.alias("day"), "arm")
        .agg(pl.len().cast(pl.Int64).alias("num_exposures"))
        .collect(engine="streaming")
    )
    entry = (pl.col("entry_us") - epoch_us(plan.start)) // US_PER_DAY
    entered = users.group_by(entry.alias("day"), "arm").agg(
        pl.len().cast(pl.Int64).alias("num_users")
    )
    joined = shown.join(entered, on=["day", "arm"], how="left")
    return joined.with_columns(pl.col("num_users").fill_null(0)).sort("day", "arm")


def _with_columns(users: pl.DataFrame, rows: pl.LazyFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Add what columns say at users' first exposures, the least value where several do."""
    if not names:
        return users
    first = (
        rows.join(users.lazy().select("key", "entry_us"), on="key")
        .filter(pl.col("time_us") == pl.col("entry_us"))
        .group_by("key")
        .agg(pl.col(told_as(name)).min() for name in names)
        .collect(engine="streaming")
    )
    return users.join(first, on="key", how="left").sort("key")


def _chances(rows: pl.LazyFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    # Millionths are summed: whole numbers have the same sum in any order.
    millionths = (pl.col("chance") * 1e6).round().cast(pl.Int64)
    sums = rows.group_by("arm").agg(
        millionths.sum().alias("total"), millionths.count().cast(pl.Int64).alias("num")
    )
    found = {arm: (total, n) for arm, total, n in sums.collect(engine="streaming").iter_rows()}
    return found.get(CONTROL, (0, 0)), found.get(TREATMENT, (0, 0))
