"""How far segments have the same users, and who keeps whom where each user gets one message.

Shape suffix: S segments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

MOST_SEGMENTS = 60


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Segments beside one another.

    Attributes:
        names: In order of priority.
        counts_SS: Users in both of two segments; on the diagonal in the one, shape (S, S).
        kept_S: Users of each who are in none before it, shape (S,).
        num_users: Users in any.
    """

    names: list[str]
    counts_SS: np.ndarray
    kept_S: np.ndarray
    num_users: int

    @property
    def jaccard_SS(self) -> np.ndarray:
        """Users in both as a share of those in either; NaN of two empty ones, shape (S, S)."""
        sizes = np.diag(self.counts_SS)
        either = sizes[:, None] + sizes[None, :] - self.counts_SS
        return np.divide(
            self.counts_SS, either, out=np.full(either.shape, np.nan), where=either > 0
        )


def overlap(members: Mapping[str, pl.Series]) -> Overlap:
    """Compare segments.

    Args:
        members: Ids of users by segment, each once; the most important segment first.

    Raises:
        ValueError: There are more than 60.
    """
    if len(members) > MOST_SEGMENTS:
        raise ValueError(f"at most {MOST_SEGMENTS} segments are compared, not {len(members)}")
    names = list(members)
    rows = [
        pl.LazyFrame({"user_id": users}, schema={"user_id": pl.String}).with_columns(
            bit=pl.lit(1 << place, pl.Int64)
        )
        for place, users in enumerate(members.values())
    ]
    if not rows:
        return Overlap(
            names=[], counts_SS=np.zeros((0, 0), int), kept_S=np.zeros(0, int), num_users=0
        )
    # A user is the set of their segments: what is left are few sets, however many users.
    sets = pl.concat(rows).group_by("user_id").agg(pl.col("bit").sum()).group_by("bit").len()
    found = sets.collect(engine="streaming")
    bits, count = found["bit"].to_numpy(), found["len"].to_numpy().astype(np.int64)
    is_in = (bits[:, None] >> np.arange(len(names)) & 1).astype(np.int64)
    is_first = (np.cumsum(is_in, axis=1) == 1) & (is_in == 1)
    return Overlap(
        names=names,
        counts_SS=(is_in * count[:, None]).T @ is_in,
        kept_S=(is_first * count[:, None]).sum(0),
        num_users=int(count.sum()),
    )


def kept(members: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
    """Return who of each segment is in none before it, so that a user gets one message."""
    taken = pl.Series("user_id", [], dtype=pl.String)
    found = {}
    for name, users in members.items():
        found[name] = users.filter(~users.is_in(taken.implode()))
        taken = pl.concat([taken, found[name].cast(pl.String).rename("user_id")])
    return found


def in_none_of(members: pl.LazyFrame, earlier: Iterable[pl.LazyFrame]) -> pl.LazyFrame:
    """Return who of a segment is in none of others; see `kept`.

    Args:
        members: `user_id`.
        earlier: `user_id` each, of more important segments.
    """
    for other in earlier:
        members = members.join(other.select("user_id"), on="user_id", how="anti")
    return members
