"""The best items of a source for each user, found without a dense row of the catalogue.

A score of zero says nothing and one below zero speaks against an item: neither is ranked.

Shape suffixes: B users, I items, L ranked items, K other items.
"""

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
import scipy.sparse as sp

from recsys import kernels
from recsys.interactions import Histories
from recsys.query import Query
from recsys.retrieval_index import search

# Allows all of them.
_EVERYTHING = np.zeros(0, dtype=bool)
_STEP = 32
ScoreOf = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What one source says to B users.

    Attributes:
        item_idx: Items that may be offered and were not bought, best first, -1 for padding, int32,
            shape (B, L).
        score_of: Takes items (B, K) and returns the source's scores of them, on a scale that can be
            compared between users, float32, shape (B, K); of -1, for padding, anything.
    """

    item_idx: np.ndarray
    score_of: ScoreOf


@dataclass(frozen=True)
class Sums:
    """Weighted sums of table rows of B users, sparse.

    Attributes:
        indptr: Sums of user b are indptr[b]:indptr[b + 1], int64, shape (B + 1,).
        column: Distinct within a user, in no order, int32.
        value: float32.
        num_columns: Of the table.
    """

    indptr: np.ndarray
    column: np.ndarray
    value: np.ndarray
    num_columns: int

    @classmethod
    def of(
        cls,
        histories: Histories,
        weights: np.ndarray,
        table: sp.csr_matrix,
        *,
        with_self: bool = False,
    ) -> "Sums":
        """Return the sums of the table rows of each user's history, each times its weight.

        Args:
            histories: Of B users.
            weights: Of history rows, float32, shape (H,).
            table: Sorted indices.
            with_self: Whether a row's own column gets the row's weight, too.
        """
        return cls._of_rows(histories.indptr, histories.item_idx, weights, table, with_self)

    def through(self, table: sp.csr_matrix) -> "Sums":
        """Return the sums of the rows of another table that the columns name."""
        return self._of_rows(self.indptr, self.column, self.value, table, False)

    @classmethod
    def _of_rows(
        cls,
        indptr: np.ndarray,
        rows: np.ndarray,
        weights: np.ndarray,
        table: sp.csr_matrix,
        with_self: bool,
    ) -> "Sums":
        parts = (table.indptr, table.indices, table.data)
        num_columns = table.shape[1]  # type: ignore[index]
        place = kernels.scratch(num_columns)
        sums = kernels.spread(indptr, rows, weights, *parts, with_self, place)
        return cls(sums[0], sums[1], sums[2], num_columns)

    def matrix(self) -> sp.csr_matrix:
        """Return the same as a sparse (B, columns) matrix."""
        shape = (len(self.indptr) - 1, self.num_columns)
        return sp.csr_matrix((self.value, self.column, self.indptr), shape=shape)


def ranked_sums(
    indptr: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    table: sp.csr_matrix,
    query: Query,
    depth: int,
    *,
    with_self: bool = False,
) -> Ranking:
    """Rank by weighted sums of table rows; the scale is the user's largest sum.

    Args:
        indptr: Rows of user b are indptr[b]:indptr[b + 1].
        rows: Rows of the table.
        weights: Of each, float32.
        table: Sorted indices, shape (rows, I).
        query: B users.
        depth: Items wanted.
        with_self: Whether a row's own column gets the row's weight, too.
    """
    bought, place = query.bought, kernels.scratch(table.shape[1])  # type: ignore[index]
    *sums, best, largest = kernels.ranked_sums(
        indptr,
        rows,
        weights,
        table.indptr,
        table.indices,
        table.data,
        with_self,
        bought.indptr,
        bought.item_idx,
        _EVERYTHING if query.allowed is None else query.allowed,
        depth,
        place,
    )
    return Ranking(
        item_idx=best,
        score_of=lambda item_idx: kernels.shares_at(*sums, largest, item_idx, place),
    )


def ranked_dense(scores: np.ndarray, query: Query, depth: int) -> Ranking:
    """Rank by scores of every item (B, I); the scale is the user's largest score."""
    size = min(depth + most_bought(query), scores.shape[1])
    offered = scores if query.allowed is None else np.where(query.allowed, scores, -np.inf)
    best = best_first(offered, size)
    says = np.take_along_axis(offered, best, 1) > 0
    scale = np.maximum(np.abs(scores).max(1, keepdims=True), 1e-9)
    return Ranking(
        item_idx=without_bought(query, np.where(says, best, -1), depth, scores.shape[1]),
        score_of=lambda item_idx: np.take_along_axis(scores, item_idx, 1) / scale,
    )


def ranked_alike(order: np.ndarray, scores: np.ndarray, query: Query, depth: int) -> Ranking:
    """Rank the same for everybody.

    Args:
        order: Items with something to say, best first, shape (N,).
        scores: Of every item, float32, shape (I,).
        query: B users.
        depth: Items wanted.
    """
    size = depth + most_bought(query)
    if query.allowed is not None:
        order = order[query.allowed[order]]
    best = np.broadcast_to(order[:size], (len(query), len(order[:size])))
    scale = max(float(scores[order[0]]) if len(order) else 0.0, 1e-9)
    return Ranking(
        item_idx=without_bought(query, best, depth, len(scores)),
        score_of=lambda item_idx: (scores[item_idx] / scale).astype(np.float32),
    )


def without_bought(query: Query, item_idx: np.ndarray, depth: int, num_items: int) -> np.ndarray:
    """Leave out what each user has bought; keep the order of the rest, shape (B, depth).

    Args:
        query: B users.
        item_idx: Ranked items, -1 for padding, shape (B, L).
        depth: Items wanted; fewer are padded with -1.
        num_items: Size of the catalogue I.
    """
    bought, place = query.bought, kernels.scratch(num_items)
    return kernels.first_of(item_idx, bought.indptr, bought.item_idx, depth, place)


def best_first(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k best scores of each row, best first.

    Ties go to the lower column; of zeros and -inf, which say nothing, any may fill the last places.
    """
    if k < scores.shape[1]:
        part = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        values = np.take_along_axis(scores, part, 1)
        weakest = values.min(1)
        # The partition takes any of those that tie for the last places.
        for row in np.flatnonzero((weakest != 0) & np.isfinite(weakest)):
            above = part[row, values[row] > weakest[row]]
            tied = np.flatnonzero(scores[row] == weakest[row])[: k - len(above)]
            part[row] = np.sort(np.concatenate([above, tied]))
    else:
        part = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    values = np.take_along_axis(scores, part, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(part, order, 1)


def most_bought(query: Query) -> int:
    """Return how many items the user who bought most has bought."""
    return int(query.bought.lengths.max(initial=0))


def num_looked_up(query: Query, depth: int) -> np.ndarray:
    """Return how many items to look up for each user so that `depth` are left, int64, shape (B,).

    In steps, so that most users are looked up for together.
    """
    bought = query.bought.lengths
    return depth + _STEP * -(-bought // _STEP)


def near(
    index: faiss.Index, vectors: np.ndarray, num_B: np.ndarray, allowed: np.ndarray | None
) -> np.ndarray:
    """Return the items nearest to each user's vector, best first, -1 for padding, int64, (B, N).

    What is found for a user does not depend on the others: an index that approximates finds other
    items where it is asked for more.

    Args:
        index: See `recsys.retrieval_index.search`.
        vectors: See there.
        num_B: Items wanted for each user.
        allowed: See there.
    """
    distinct = np.unique(num_B)
    if len(distinct) == 1:
        return search(index, vectors, int(distinct[0]), allowed)[1]
    found_BN = np.full((len(vectors), distinct[-1]), -1, dtype=np.int64)
    for num in distinct.tolist():
        users = np.flatnonzero(num_B == num)
        _, found = search(index, vectors[users], num, allowed)
        found_BN[users, : found.shape[1]] = found
    return found_BN
