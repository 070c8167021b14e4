"""The loops of a request, compiled by Numba: sums of table rows, the best of them, votes, pairs.

One user's question is a few thousand additions. In NumPy and SciPy each of a hundred calls costs
more than its work; here all of it is one pass over plain arrays. Batches are loops over users.

Sums are made in the order of the rows, in the precision told, without fused operations: results do
not depend on how many users are asked for at once.

Shape suffixes: B users, H history rows, I items, K candidates, L ranked items, P sums, S sources,
C categories.
"""

import threading
from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True)
_local = threading.local()


def scratch(num: int) -> np.ndarray:
    """Return this thread's array of at least `num` -1, int32; users of it leave it as it was."""
    found = getattr(_local, "scratch", None)
    if found is None or len(found) < num:
        found = np.full(num, -1, dtype=np.int32)
        _local.scratch = found
    return found


@_compiled
def spread(
    indptr: np.ndarray,
    row_H: np.ndarray,
    weight_H: np.ndarray,
    table_indptr: np.ndarray,
    table_column: np.ndarray,
    table_value: np.ndarray,
    with_self: bool,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weighted sums of table rows of each user.

    Args:
        indptr: Rows of user b are indptr[b]:indptr[b + 1].
        row_H: Row of the table.
        weight_H: float32.
        table_indptr: Of a sparse table.
        table_column: Its indices.
        table_value: Its data, float32.
        with_self: Whether each row's own column gets the row's weight, too.
        place: Scratch, longer than any column.

    Returns:
        indptr, columns (int32, in no order) and sums (float32) of each user.
    """
    most = 0
    for h in range(len(row_H)):
        most += table_indptr[row_H[h] + 1] - table_indptr[row_H[h]] + with_self
    out_indptr = np.zeros(len(indptr), dtype=np.int64)
    column_P = np.empty(most, dtype=np.int32)
    sum_P = np.empty(most, dtype=np.float32)
    num = 0
    for b in range(len(indptr) - 1):
        first = num
        for h in range(indptr[b], indptr[b + 1]):
            weight = np.float32(weight_H[h])
            for entry in range(table_indptr[row_H[h]], table_indptr[row_H[h] + 1]):
                column = table_column[entry]
                told = np.float32(weight * table_value[entry])
                at = place[column]
                if at < 0:
                    place[column] = num
                    column_P[num] = column
                    sum_P[num] = told
                    num += 1
                else:
                    sum_P[at] += told
        if with_self:
            for h in range(indptr[b], indptr[b + 1]):
                at = place[row_H[h]]
                if at < 0:
                    place[row_H[h]] = num
                    column_P[num] = row_H[h]
                    sum_P[num] = weight_H[h]
                    num += 1
                else:
                    sum_P[at] += np.float32(weight_H[h])
        for p in range(first, num):
            place[column_P[p]] = -1
        out_indptr[b + 1] = num
    return out_indptr, column_P[:num], sum_P[:num]


@_compiled
def best_columns(
    indptr: np.ndarray,
    column_P: np.ndarray,
    sum_P: np.ndarray,
    gone_indptr: np.ndarray,
    gone_H: np.ndarray,
    allowed: np.ndarray,
    depth: int,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of each user's largest positive sums, and the largest magnitude of all.

    Args:
        indptr: Sums of user b are indptr[b]:indptr[b + 1].
        column_P: Distinct within a user.
        sum_P: float32.
        gone_indptr: Of what is left out.
        gone_H: Columns that are left out.
        allowed: bool, shape (I,); empty for all.
        depth: How many.
        place: Scratch.

    Returns:
        int32 (B, depth), -1 for padding, ties to the lower column; float32 (B,).
    """
    num_users = len(indptr) - 1
    best = np.full((num_users, depth), -1, dtype=np.int32)
    largest = np.zeros(num_users, dtype=np.float32)
    for b in range(num_users):
        for h in range(gone_indptr[b], gone_indptr[b + 1]):
            place[gone_H[h]] = 0
        column = np.empty(indptr[b + 1] - indptr[b], dtype=np.int32)
        value = np.empty(len(column), dtype=np.float32)
        num = 0
        for p in range(indptr[b], indptr[b + 1]):
            largest[b] = max(largest[b], abs(sum_P[p]))
            says = sum_P[p] > 0 and place[column_P[p]] < 0
            if says and (len(allowed) == 0 or allowed[column_P[p]]):
                column[num] = column_P[p]
                value[num] = sum_P[p]
                num += 1
        for h in range(gone_indptr[b], gone_indptr[b + 1]):
            place[gone_H[h]] = -1
        found = _best_first(column[:num], value[:num], depth)
        best[b, : len(found)] = column[found]
    return best, largest


@_compiled
def values_at(
    indptr: np.ndarray,
    column_P: np.ndarray,
    sum_P: np.ndarray,
    wanted: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Return each user's sums of the wanted columns (B, K), 0 where there is none, float32."""
    found = np.zeros(wanted.shape, dtype=np.float32)
    for b in range(len(indptr) - 1):
        for p in range(indptr[b], indptr[b + 1]):
            place[column_P[p]] = p
        for k in range(wanted.shape[1]):
            at = place[wanted[b, k]]
            if at >= 0:
                found[b, k] = sum_P[at]
        for p in range(indptr[b], indptr[b + 1]):
            place[column_P[p]] = -1
    return found


@_compiled
def first_of(
    ranked: np.ndarray,
    gone_indptr: np.ndarray,
    gone_H: np.ndarray,
    depth: int,
    place: np.ndarray,
) -> np.ndarray:
    """Return the first `depth` of ranked columns (B, L) that are not left out, -1 for padding."""
    num_users = len(ranked)
    best = np.full((num_users, depth), -1, dtype=np.int32)
    for b in range(num_users):
        for h in range(gone_indptr[b], gone_indptr[b + 1]):
            place[gone_H[h]] = 0
        num = 0
        for rank in range(ranked.shape[1]):
            column = ranked[b, rank]
            if column >= 0 and place[column] < 0 and num < depth:
                best[b, num] = column
                num += 1
        for h in range(gone_indptr[b], gone_indptr[b + 1]):
            place[gone_H[h]] = -1
    return best


@_compiled
def most_voted(
    ranked: np.ndarray, vote: np.ndarray, num_wanted: int, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the items with most votes, the sums, and the place of each in every ranking.

    Args:
        ranked: Items of S sources, int32, shape (S, B, L), -1 for padding.
        vote: Of each place of a source, float64, shape (S, L).
        num_wanted: K.
        place: Scratch.

    Returns:
        int32 (B, K), -1 for padding; float32 (B, K); int32 (B, K, S), L where beyond.
    """
    num_sources, num_users, length = ranked.shape
    item_idx = np.full((num_users, num_wanted), -1, dtype=np.int32)
    fused = np.zeros((num_users, num_wanted), dtype=np.float32)
    rank = np.full((num_users, num_wanted, num_sources), length, dtype=np.int32)
    item = np.empty(num_sources * length, dtype=np.int32)
    sums = np.empty(num_sources * length, dtype=np.float64)
    for b in range(num_users):
        num = 0
        for s in range(num_sources):
            for nth in range(length):
                column = ranked[s, b, nth]
                if column < 0:
                    continue
                at = place[column]
                if at < 0:
                    place[column] = num
                    item[num] = column
                    sums[num] = vote[s, nth]
                    num += 1
                else:
                    sums[at] += vote[s, nth]
        for p in range(num):
            place[item[p]] = -1
        told = sums[:num].astype(np.float32)
        best = _best_first(item[:num], told, num_wanted)
        for k in range(len(best)):
            item_idx[b, k] = item[best[k]]
            fused[b, k] = told[best[k]]
            place[item[best[k]]] = k
        for s in range(num_sources):
            for nth in range(length):
                column = ranked[s, b, nth]
                if column >= 0 and place[column] >= 0:
                    rank[b, place[column], s] = nth
        for k in range(len(best)):
            place[item[best[k]]] = -1
    return item_idx, fused, rank


@_compiled
def row_entries(
    table_indptr: np.ndarray,
    table_column: np.ndarray,
    table_value: np.ndarray,
    row_B: np.ndarray,
    wanted: np.ndarray,
) -> np.ndarray:
    """Return table[row_B[b], wanted[b, k]], 0 where nothing is kept, float32, shape (B, K).

    Args:
        table_indptr: Of a sparse table with sorted indices.
        table_column: Its indices.
        table_value: Its data.
        row_B: -1 for none.
        wanted: Columns, shape (B, K).
    """
    found = np.zeros(wanted.shape, dtype=np.float32)
    for b in range(len(row_B)):
        if row_B[b] < 0:
            continue
        start, end = table_indptr[row_B[b]], table_indptr[row_B[b] + 1]
        for k in range(wanted.shape[1]):
            low, high = start, end
            while low < high:
                middle = (low + high) // 2
                if table_column[middle] < wanted[b, k]:
                    low = middle + 1
                else:
                    high = middle
            if low < end and table_column[low] == wanted[b, k]:
                found[b, k] = table_value[low]
    return found


@_compiled
def _best_first(column: np.ndarray, value: np.ndarray, depth: int) -> np.ndarray:
    """Return where the largest values are, best first, ties to the lower column."""
    among = np.arange(len(column))
    if len(column) > depth:
        least = np.partition(value, len(column) - depth)[len(column) - depth]
        among = np.flatnonzero(value >= least)
    among = among[np.argsort(column[among])]
    return among[np.argsort(-value[among], kind="mergesort")][:depth]


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
def tree_scores(
    told_CR: np.ndarray,
    column_NT: np.ndarray,
    threshold_NT: np.ndarray,
    kept_NT: np.ndarray,
    start_T: np.ndarray,
    place: np.ndarray,
    value: np.ndarray,
) -> np.ndarray:
    """Return the sum of the trees' leaf values of each row, float64; see `recsys.flat_trees`.

    Args:
        told_CR: Columns of the rows, float32.
        column_NT: Which of them each node of each tree compares.
        threshold_NT: A row at most this goes left, float32.
        kept_NT: Bits of the leaves that remain where a row goes right.
        start_T: Where a tree's values start.
        place: Of the first remaining leaf by the bits that remain; empty where values are looked
            up by the bits.
        value: Leaf values of all trees, float64.
    """
    num_nodes, num_trees = column_NT.shape
    num_rows = told_CR.shape[1]
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
