"""The users with the highest or lowest values, as limits that a value is held against."""

from dataclasses import dataclass

import polars as pl

from recsys.segments.conditions import Rank
from recsys.segments.parts import shown


@dataclass(frozen=True, kw_only=True)
class RankLimits:
    """Who is among the first: whose value is beyond the limit, or at it with an id up to the last.

    Attributes:
        is_top: Whether high values come first.
        limit: The value of the last who is in; None where nobody is.
        last_id: The greatest id that is in among users at the limit.
    """

    is_top: bool
    limit: float | int | None
    last_id: str | None

    def says(self) -> str:
        """Return the limit in words."""
        if self.limit is None:
            return "of nobody"
        return f"here {'at least' if self.is_top else 'at most'} {shown(self.limit)}"

    def holds(self, value: pl.Expr) -> pl.Expr:
        """Return who is in, null where the value is unknown."""
        if self.limit is None:
            return pl.when(value.is_not_null()).then(pl.lit(value=False))
        beyond = value > self.limit if self.is_top else value < self.limit
        return beyond | ((value == self.limit) & (pl.col("user_id") <= self.last_id))


def rank_limits(rank: Rank, known: pl.LazyFrame) -> RankLimits:
    """Find the limits of a rank.

    Args:
        rank: What is asked.
        known: `user_id, value` of all who are ranked, each once, no value null.
    """
    is_top = rank.top is not None or rank.top_percent is not None
    num = rank.top or rank.bottom
    if num is None:
        percent = rank.top_percent or rank.bottom_percent
        assert percent is not None
        counted = known.select(pl.len()).collect(engine="streaming").item()
        # Of 1,000 users 7 percent are 70, though 7 / 100 * 1000 is less in floating point.
        num = int(counted * percent / 100 + 1e-9)
    nobody = RankLimits(is_top=is_top, limit=None, last_id=None)
    if num == 0:
        return nobody
    values = known.select("value")
    best = values.top_k(num, by="value") if is_top else values.bottom_k(num, by="value")
    extreme = pl.col("value").min() if is_top else pl.col("value").max()
    limit, count = best.select(extreme, count=pl.len()).collect(engine="streaming").row(0)
    if count == 0:
        return nobody
    beyond = pl.col("value") > limit if is_top else pl.col("value") < limit
    num_beyond = known.select(beyond.sum()).collect(engine="streaming").item()
    at_limit = known.filter(pl.col("value") == limit).select("user_id")
    last = at_limit.bottom_k(num - num_beyond, by="user_id").select(pl.col("user_id").max())
    return RankLimits(is_top=is_top, limit=limit, last_id=last.collect(engine="streaming").item())
