"""Loops over the histories of B users, compiled by Numba: weights, and what the towers read.

As in `recsys.kernels`: one user's history is a handful of rows, and of a hundred NumPy calls each
would cost more than its work.

Shape suffixes: B users, H history rows, C categories of history rows.
"""

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True)
_LEAST_TOTAL = 1e-9


@_compiled
def history_weights(
    indptr: np.ndarray, sentiment_H: np.ndarray, decay: float, sentiment_strength: float
) -> np.ndarray:
    """Return decay ** steps back times 1 + strength x polarity (0 where NaN), float32, (H,)."""
    weight_H = np.empty(len(sentiment_H), dtype=np.float32)
    for b in range(len(indptr) - 1):
        recency = 1.0
        for h in range(indptr[b + 1] - 1, indptr[b] - 1, -1):
            felt = 0.0 if np.isnan(sentiment_H[h]) else sentiment_H[h]
            weight_H[h] = recency * (1.0 + sentiment_strength * felt)
            recency *= decay
    return weight_H


@_compiled
def browse_weights(indptr: np.ndarray, strength_H: np.ndarray, decay: float) -> np.ndarray:
    """Return decay ** steps back times log(1 + strength) (0 where NaN), float32, shape (H,)."""
    weight_H = np.empty(len(strength_H), dtype=np.float32)
    for b in range(len(indptr) - 1):
        recency = 1.0
        for h in range(indptr[b + 1] - 1, indptr[b] - 1, -1):
            strength = 0.0 if np.isnan(strength_H[h]) else strength_H[h]
            weight_H[h] = recency * np.log1p(strength)
            recency *= decay
    return weight_H


@_compiled
def normalised(indptr: np.ndarray, weight_H: np.ndarray) -> np.ndarray:
    """Return weights that sum to one over each user's rows, or to zero, float32, shape (H,)."""
    share_H = np.empty(len(weight_H), dtype=np.float32)
    for b in range(len(indptr) - 1):
        total = 0.0
        for h in range(indptr[b], indptr[b + 1]):
            total += weight_H[h]
        total = max(total, _LEAST_TOTAL)
        for h in range(indptr[b], indptr[b + 1]):
            share_H[h] = weight_H[h] / total
    return share_H


@_compiled
def category_bags(
    indptr: np.ndarray,
    item_H: np.ndarray,
    weight_H: np.ndarray,
    category_indptr: np.ndarray,
    category_idx: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the categories of the items of each bag; an item's weight is shared among its own.

    Args:
        indptr: Rows of bag b are indptr[b]:indptr[b + 1].
        item_H: Items.
        weight_H: Of each, float32.
        category_indptr: Categories of item i are category_idx[indptr[i]:indptr[i + 1]].
        category_idx: See there.

    Returns:
        Categories of all bags, int64, shape (C,); how many each bag has, int32, shape (B,);
        weights, float32, shape (C,).
    """
    num = 0
    for h in range(len(item_H)):
        num += category_indptr[item_H[h] + 1] - category_indptr[item_H[h]]
    value_C = np.empty(num, dtype=np.int64)
    weight_C = np.empty(num, dtype=np.float32)
    length_B = np.zeros(len(indptr) - 1, dtype=np.int32)
    at = 0
    for b in range(len(indptr) - 1):
        first = at
        for h in range(indptr[b], indptr[b + 1]):
            start, end = category_indptr[item_H[h]], category_indptr[item_H[h] + 1]
            for entry in range(start, end):
                value_C[at] = category_idx[entry]
                weight_C[at] = weight_H[h] / np.float32(end - start)
                at += 1
        length_B[b] = at - first
    return value_C, length_B, weight_C


@_compiled
def query_features(
    bought_indptr: np.ndarray, sentiment_H: np.ndarray, browsed_indptr: np.ndarray
) -> np.ndarray:
    """Return what histories say beside their items, float32, shape (B, 5).

    Log of the number bought / 5, share of those with a review, mean polarity, share of negative
    polarity, log of the number browsed / 5.
    """
    told = np.zeros((len(bought_indptr) - 1, 5), dtype=np.float32)
    for b in range(len(told)):
        num = bought_indptr[b + 1] - bought_indptr[b]
        num_reviewed, num_negative, total = 0, 0, 0.0
        for h in range(bought_indptr[b], bought_indptr[b + 1]):
            felt = sentiment_H[h]
            if not np.isnan(felt):
                num_reviewed += 1
                total += felt
                num_negative += felt < 0
        told[b, 0] = np.log1p(np.float64(num)) / 5.0
        told[b, 1] = num_reviewed / max(num, 1)
        told[b, 2] = total / max(num_reviewed, 1)
        told[b, 3] = num_negative / max(num_reviewed, 1)
        told[b, 4] = np.log1p(np.float64(browsed_indptr[b + 1] - browsed_indptr[b])) / 5.0
    return told


@_compiled
def bag_sums(
    table: np.ndarray, value_H: np.ndarray, length_B: np.ndarray, weight_H: np.ndarray
) -> np.ndarray:
    """Return the weighted sum of table rows of each bag, float32, shape (B, D).

    Args:
        table: float32, shape (V, D).
        value_H: Rows of all bags, one bag after the other.
        length_B: Rows of each bag.
        weight_H: float32.
    """
    sums = np.zeros((len(length_B), table.shape[1]), dtype=np.float32)
    h = 0
    for b in range(len(length_B)):
        for _ in range(length_B[b]):
            weight, row = np.float32(weight_H[h]), value_H[h]
            for d in range(table.shape[1]):
                sums[b, d] += weight * table[row, d]
            h += 1
    return sums


@_compiled
def pooled(
    indptr: np.ndarray,
    item_H: np.ndarray,
    weight_H: np.ndarray,
    category_indptr: np.ndarray,
    category_idx: np.ndarray,
    brand_I: np.ndarray,
    item_table: np.ndarray,
    category_table: np.ndarray,
    brand_table: np.ndarray,
    text: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the weighted sums of each bag's items, categories and brands (B, D), and texts.

    Args:
        indptr: Rows of bag b are indptr[b]:indptr[b + 1].
        item_H: Items.
        weight_H: Of each, float32.
        category_indptr: See `category_bags`.
        category_idx: See `category_bags`.
        brand_I: Of items.
        item_table: float32.
        category_table: float32.
        brand_table: float32.
        text: Of items, float32, shape (I, T).
    """
    length_B = indptr[1:] - indptr[:-1]
    category_C, num_categories_B, share_C = category_bags(
        indptr, item_H, weight_H, category_indptr, category_idx
    )
    brand_H = np.empty(len(item_H), dtype=np.int32)
    for h in range(len(item_H)):
        brand_H[h] = brand_I[item_H[h]]
    return (
        bag_sums(item_table, item_H, length_B, weight_H),
        bag_sums(category_table, category_C, num_categories_B, share_C),
        bag_sums(brand_table, brand_H, length_B, weight_H),
        bag_sums(text, item_H, length_B, weight_H),
    )
