"""A log of what was shown, checked and in arrays: what every estimator reads.

A row is one item at one place of one list, with the chance that it came there and what followed.
The frame it is made of has these columns, of which only the first two and one reward are needed:

    item_id      what was shown; the actions are the distinct items of the log
    propensity   chance with which it came to its place, in (0, 1]
    position     place in the list, whole numbers from the top down; absent, all are of one place
    list_id      the answer that showed it; absent, every row is an answer of its own
    user_id      to whom; rows of a user are drawn together where intervals are made
    candidates   ids of what could have been shown in the list, the same in all rows of it
    click, purchase, satisfaction, or others: the rewards
    context_*, user_feature_*, user-item_affinity_*, surface: what was known before

Shape suffixes: N rows, A actions, P positions, L lists, C candidates of all lists.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.errors import LogError
from recsys.off_policy.row_checks import (
    check_once,
    check_plain,
    positions_of,
    propensities_of,
    reward_bounds,
    rewards_of,
)

CONTEXT_PREFIXES = ("context_", "user_feature_", "user-item_affinity_")
IDS = ("item_id", "user_id", "list_id")


@dataclass(frozen=True, kw_only=True)
class Log:
    """N rows of what was shown.

    Attributes:
        actions: Distinct items of the log, sorted, shape (A,).
        action: Index of the item shown, int64, shape (N,).
        positions: Distinct places, ascending, shape (P,).
        position: Index of the place, int64, shape (N,).
        propensity: In (0, 1], float64, shape (N,).
        reward: float64, shape (N,).
        reward_name: What the reward is.
        reward_range: Least and greatest value that a reward can have.
        slate: Index of the list, int64, shape (N,).
        has_lists: Whether the log says which rows were one list.
        group: Index of what is drawn together (the user, else the list), int64, shape (N,).
        context: What was known before, columns of any kind, N rows.
        list_ids: Names of lists in the order of their indices, shape (L,).
        candidate_indptr: Candidates of list l are candidate_id[indptr[l]:indptr[l + 1]], shape
            (L + 1,); None where the log does not tell.
        candidate_id: Item ids, sorted within a list, shape (C,); None likewise.
    """

    actions: np.ndarray
    action: np.ndarray
    positions: np.ndarray
    position: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray
    reward_name: str
    reward_range: tuple[float, float]
    slate: np.ndarray
    has_lists: bool
    group: np.ndarray
    context: pl.DataFrame
    list_ids: np.ndarray
    candidate_indptr: np.ndarray | None = None
    candidate_id: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows N."""
        return len(self.action)

    @property
    def num_actions(self) -> int:
        """Distinct items A."""
        return len(self.actions)


def build_log(
    rows: pl.DataFrame, reward: str, *, reward_range: tuple[float, float] | None = None
) -> Log:
    """Check rows and put them into arrays; the module says what columns they have.

    Args:
        rows: One row an item that was shown.
        reward: Column to be evaluated.
        reward_range: Least and greatest value it can have; None takes that of a known reward, and
            of others what is seen.

    Raises:
        LogError: If there are no rows, no propensities, propensities outside (0, 1], rows twice, no
            such reward, or rewards that are missing, no numbers or outside their range.
    """
    if rows.is_empty():
        raise LogError("the log has no rows: nothing was shown, so nothing can be evaluated")
    check_plain(rows, [name for name in rows.columns if name in IDS or is_context(name)])
    propensity = propensities_of(rows)
    values = rewards_of(rows, reward)
    bounds = reward_bounds(values, reward, reward_range)
    if rows["item_id"].is_null().any():
        raise LogError(
            f"{rows['item_id'].null_count():,} of {len(rows):,} rows name no item: each row must "
            "say what was shown"
        )
    check_once(rows, reward)
    actions, action = _codes(rows["item_id"].cast(pl.String))
    position = positions_of(rows)
    positions, place = np.unique(position, return_inverse=True)
    has_lists = "list_id" in rows.columns
    list_ids, slate = np.arange(len(rows)), np.arange(len(rows))
    if has_lists:
        list_ids, slate = _codes(rows["list_id"].cast(pl.String))
    indptr, candidates = _candidates(rows, slate, len(list_ids))
    return Log(
        actions=actions,
        action=action,
        positions=positions,
        position=place.astype(np.int64),
        propensity=propensity,
        reward=values,
        reward_name=reward,
        reward_range=bounds,
        slate=slate,
        has_lists=has_lists,
        group=_groups(rows, slate),
        context=rows.select(name for name in rows.columns if is_context(name)),
        list_ids=list_ids,
        candidate_indptr=indptr,
        candidate_id=candidates,
    )


def is_context(column: str) -> bool:
    """Tell whether a column says what was known before anything was shown."""
    return column == "surface" or column.startswith(CONTEXT_PREFIXES)


def _groups(rows: pl.DataFrame, slate: np.ndarray) -> np.ndarray:
    """Return what is drawn together: users, and lists of whom nobody knows the user."""
    if "user_id" not in rows.columns:
        return slate
    named = rows.select(pl.col("user_id").cast(pl.String), slate=pl.Series(slate))
    of_list = pl.format("\x00{}", "slate")
    return _codes(named.select(pl.coalesce("user_id", of_list)).to_series())[1]


def _codes(values: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values in order, and the place of each value among them."""
    codes = values.rank("dense").cast(pl.Int64).to_numpy() - 1
    return values.unique().sort().to_numpy(), codes


def _candidates(
    rows: pl.DataFrame, slate: np.ndarray, num_lists: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return what could have been shown in each list; what was shown could have been."""
    if "candidates" not in rows.columns:
        return None, None
    kind = rows.schema["candidates"]
    if not isinstance(kind, pl.List) or kind.inner.is_nested():
        raise LogError(
            f"candidates are {kind}, wanted a list of ids in each row: write "
            "the log as Parquet, or leave the column out"
        )
    frame = rows.select(pl.col("item_id").cast(pl.String), "candidates", slate=pl.Series(slate))
    offered = (
        frame.unique("slate", keep="first")
        .select("slate", item_id=pl.col("candidates").cast(pl.List(pl.String)))
        .explode("item_id")
        .drop_nulls("item_id")
    )
    known = pl.concat([offered, frame.select("slate", "item_id")]).unique().sort("slate", "item_id")
    counts = np.bincount(known["slate"].to_numpy(), minlength=num_lists)
    return np.concatenate([[0], np.cumsum(counts)]), known["item_id"].to_numpy()
