"""The loops of the ranker, compiled by Numba: trees, and their blend with the order of a source.

Shape suffixes: B users, K candidates, R rows, F features, C columns in use, T trees, N nodes.
"""

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True)


@_compiled
def tree_scores(
    rows_RF: np.ndarray,
    feature_C: np.ndarray,
    missing_C: np.ndarray,
    column_NT: np.ndarray,
    threshold_NT: np.ndarray,
    kept_NT: np.ndarray,
    start_T: np.ndarray,
    place: np.ndarray,
    value: np.ndarray,
) -> np.ndarray:
    """Return the sum of the trees' leaf values of each row, float64; see `recsys.flat_trees`.

    Args:
        rows_RF: float32.
        feature_C: Feature of each column in use.
        missing_C: What stands for a missing value of it, float32.
        column_NT: Which of the columns each node of each tree compares.
        threshold_NT: A row at most this goes left, float32.
        kept_NT: Bits of the leaves that remain where a row goes right.
        start_T: Where a tree's values start.
        place: Of the first remaining leaf by the bits that remain; empty where values are looked
            up by the bits.
        value: Leaf values of all trees, float64.
    """
    num_nodes, num_trees = column_NT.shape
    num_rows = len(rows_RF)
    told_CR = np.empty((len(feature_C), num_rows), dtype=np.float32)
    for r in range(num_rows):
        for c in range(len(feature_C)):
            told = rows_RF[r, feature_C[c]]
            told_CR[c, r] = missing_C[c] if np.isnan(told) else told
    sums = np.zeros(num_rows, dtype=np.float64)
    left = np.empty(num_rows, dtype=kept_NT.dtype)
    # All bits, in the type of the bits.
    every = ~(kept_NT[0, 0] ^ kept_NT[0, 0])
    for t in range(num_trees):
        left[:] = every
        for n in range(num_nodes):
            threshold, kept = threshold_NT[n, t], kept_NT[n, t]
            column_R = told_CR[column_NT[n, t]]
            for r in range(num_rows):
                left[r] &= every if column_R[r] <= threshold else kept
        start = start_T[t]
        if len(place):
            for r in range(num_rows):
                sums[r] += value[start + place[left[r]]]
        else:
            for r in range(num_rows):
                sums[r] += value[start + left[r]]
    return sums


@_compiled
def blended(trees: np.ndarray, base: np.ndarray, item_idx: np.ndarray, blend: float) -> np.ndarray:
    """Return blend x z(trees) + (1 - blend) x z(base), -inf for padding, float64, shape (B, K).

    z standardises over a user's real candidates.
    """
    mixed = np.full(item_idx.shape, -np.inf)
    for b in range(len(item_idx)):
        mean_t, spread_t = mean_and_deviation(trees[b], item_idx[b])
        mean_b, spread_b = mean_and_deviation(base[b], item_idx[b])
        for k in range(item_idx.shape[1]):
            if item_idx[b, k] >= 0:
                of_trees = blend * ((trees[b, k] - mean_t) / spread_t)
                mixed[b, k] = of_trees + (1.0 - blend) * ((base[b, k] - mean_b) / spread_b)
    return mixed


@_compiled
def mean_and_deviation(score_K: np.ndarray, item_K: np.ndarray) -> tuple[float, float]:
    """Return mean and deviation (at least 1e-9) of the scores of real candidates."""
    num, total = 0, 0.0
    for k in range(len(item_K)):
        if item_K[k] >= 0:
            num += 1
            total += score_K[k]
    mean, squares = total / max(num, 1), 0.0
    for k in range(len(item_K)):
        if item_K[k] >= 0:
            squares += (score_K[k] - mean) ** 2
    return mean, max(np.sqrt(squares / max(num, 1)), 1e-9)
