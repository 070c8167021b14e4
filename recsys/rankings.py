"""The best items of a source for each user, found without a dense row of the catalogue.

A score of zero says nothing and one below zero speaks against an item: neither is ranked.

Shape suffixes: B users, I items, L ranked items, K other items.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recsys.item_similarity import entries
from recsys.query import Query

ScoreOf = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What one source says to B users.

    Attributes:
        item_idx: Items that may be offered and were not bought, best first, -1 for padding, int32,
            shape (B, L).
        score_of: Takes items (B, K) and returns the source's scores of them, on a scale that can be
            compared between users, float32, shape (B, K).
    """

    item_idx: np.ndarray
    score_of: ScoreOf


def ranked_sparse(scores: sp.csr_matrix, query: Query, depth: int) -> Ranking:
    """Rank by the entries of a sparse (B, I) matrix; the scale is the user's largest entry."""
    scores.sort_indices()
    items, values, indptr = scores.indices, scores.data, scores.indptr
    size = depth + most_bought(query)
    best = np.full((len(query), size), -1, dtype=np.int32)
    for b in range(len(query)):
        row = slice(indptr[b], indptr[b + 1])
        found = _best_entries(items[row], values[row], size, query.allowed)
        best[b, : len(found)] = found
    largest = np.zeros(len(query), dtype=np.float32)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        largest[filled] = np.maximum.reduceat(np.abs(values), indptr[filled])
    rows = np.arange(len(query))
    scale = np.maximum(largest, 1e-9)[:, None]
    return Ranking(
        item_idx=without_bought(query, best, depth),
        score_of=lambda item_idx: entries(scores, rows, item_idx) / scale,
    )


def ranked_dense(scores: np.ndarray, query: Query, depth: int) -> Ranking:
    """Rank by scores of every item (B, I); the scale is the user's largest score."""
    size = min(depth + most_bought(query), scores.shape[1])
    offered = scores if query.allowed is None else np.where(query.allowed, scores, -np.inf)
    best = best_first(offered, size)
    says = np.take_along_axis(offered, best, 1) > 0
    scale = np.maximum(np.abs(scores).max(1, keepdims=True), 1e-9)
    return Ranking(
        item_idx=without_bought(query, np.where(says, best, -1), depth),
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
        item_idx=without_bought(query, best, depth),
        score_of=lambda item_idx: (scores[item_idx] / scale).astype(np.float32),
    )


def without_bought(query: Query, item_idx: np.ndarray, depth: int) -> np.ndarray:
    """Leave out what each user has bought; keep the order of the rest, shape (B, depth).

    Args:
        query: B users.
        item_idx: Ranked items, -1 for padding, shape (B, L).
        depth: Items wanted; fewer are padded with -1.
    """
    base = 1 + max(item_idx.max(initial=0), query.bought.item_idx.max(initial=0))
    rows = np.arange(len(query), dtype=np.int64)[:, None]
    bought = query.bought.row * base + query.bought.item_idx
    gone = (item_idx < 0) | np.isin(rows * base + item_idx, bought)
    kept = np.argsort(gone, axis=1, kind="stable")[:, :depth]
    left = np.where(np.take_along_axis(gone, kept, 1), -1, np.take_along_axis(item_idx, kept, 1))
    padding = np.full((len(query), depth - left.shape[1]), -1)
    return np.concatenate([left, padding], axis=1).astype(np.int32)


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


def _best_entries(
    items: np.ndarray, values: np.ndarray, size: int, allowed: np.ndarray | None
) -> np.ndarray:
    """Return the items of the `size` largest positive values; ties go to the lower item."""
    says = values > 0
    if allowed is not None:
        says &= allowed[items]
    items, values = items[says], values[says]
    if len(values) > size:
        least = np.partition(values, len(values) - size)[len(values) - size]
        among = values >= least
        items, values = items[among], values[among]
    # The items ascend, so a stable sort leaves ties in their order.
    return items[np.argsort(-values, kind="stable")[:size]]


def most_bought(query: Query) -> int:
    """Return how many items the user who bought most has bought."""
    return int(query.bought.lengths.max(initial=0))
