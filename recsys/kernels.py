"""The loops of a request, compiled by Numba: sums of table rows, the best of them, votes, pairs.

One user's question is a few thousand additions. In NumPy and SciPy each of a hundred calls costs
more than its work; here all of it is one pass over plain arrays. Batches are loops over users.

Sums are made in the order of the rows, in the precision told, without fused operations, but for
those within an inner product: results do not depend on how many users are asked for at once.

Shape suffixes: B users, H history rows, I items, K candidates, L ranked items, P sums, S sources,
C categories.
"""

import threading
from typing import Any

import numpy as np
from numba import njit

from recsys.prefetching import prefetch_row
from recsys.sort_kernels import best_first

_compiled: Any = njit(cache=True, nogil=True)
# A sum over one pair's dimensions may be made in any order: it is the same for each user, alone or
# among others.
_reordered: Any = njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
# How many rows ahead of the one that is read others are asked for.
_AHEAD = 4
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
        found, _ = best_first(column[:num], value[:num], depth)
        best[b, : len(found)] = found
    return best, largest


@_compiled
def ranked_sums(
    indptr: np.ndarray,
    row_H: np.ndarray,
    weight_H: np.ndarray,
    table_indptr: np.ndarray,
    table_column: np.ndarray,
    table_value: np.ndarray,
    with_self: bool,
    gone_indptr: np.ndarray,
    gone_H: np.ndarray,
    allowed: np.ndarray,
    depth: int,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what `spread` returns, and what `best_columns` returns of it: see there."""
    sums_indptr, column_P, sum_P = spread(
        indptr, row_H, weight_H, table_indptr, table_column, table_value, with_self, place
    )
    best, largest = best_columns(
        sums_indptr, column_P, sum_P, gone_indptr, gone_H, allowed, depth, place
    )
    return sums_indptr, column_P, sum_P, best, largest


@_compiled
def shares_at(
    indptr: np.ndarray,
    column_P: np.ndarray,
    sum_P: np.ndarray,
    largest: np.ndarray,
    wanted: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Return each user's sums of the wanted columns by the user's largest, float32, shape (B, K).

    Args:
        indptr: Sums of user b are indptr[b]:indptr[b + 1].
        column_P: Distinct within a user.
        sum_P: float32.
        largest: Magnitude of each user's sums, shape (B,).
        wanted: Shape (B, K); 0 is told of columns without a sum, and of those below 0.
        place: Scratch.
    """
    found = np.zeros(wanted.shape, dtype=np.float32)
    for b in range(len(indptr) - 1):
        scale = max(largest[b], np.float32(1e-9))
        for p in range(indptr[b], indptr[b + 1]):
            place[column_P[p]] = p
        for k in range(wanted.shape[1]):
            at = -1 if wanted[b, k] < 0 else place[wanted[b, k]]
            if at >= 0:
                found[b, k] = sum_P[at] / scale
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
def last_entries(
    indptr: np.ndarray,
    row_H: np.ndarray,
    table_indptr: np.ndarray,
    table_column: np.ndarray,
    table_value: np.ndarray,
    wanted: np.ndarray,
) -> np.ndarray:
    """Return `row_entries` of the last row of each user, 0 for who has none."""
    row_B = np.full(len(indptr) - 1, -1, dtype=np.int64)
    for b in range(len(row_B)):
        if indptr[b + 1] > indptr[b]:
            row_B[b] = row_H[indptr[b + 1] - 1]
    return row_entries(table_indptr, table_column, table_value, row_B, wanted)


@_reordered
def dot(a_D: np.ndarray, b_D: np.ndarray) -> np.float32:
    """Return the inner product of two float32 vectors."""
    told = np.float32(0.0)
    for d in range(len(a_D)):
        told += a_D[d] * b_D[d]
    return told


@_compiled
def products(vector_BD: np.ndarray, table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return inner products of each user's vector and table rows (B, K), float32.

    Args:
        vector_BD: float32.
        table: float32, shape (I, D).
        wanted: Rows, shape (B, K); those below 0 are told as 0.
    """
    told = np.zeros(wanted.shape, dtype=np.float32)
    num = wanted.shape[1]
    for b in range(len(wanted)):
        for k in range(min(_AHEAD, num)):
            prefetch_row(table, max(wanted[b, k], 0))
        for k in range(num):
            if k + _AHEAD < num:
                prefetch_row(table, max(wanted[b, k + _AHEAD], 0))
            if wanted[b, k] >= 0:
                told[b, k] = dot(vector_BD[b], table[wanted[b, k]])
    return told


@_compiled
def best_products(
    vector_BD: np.ndarray,
    table: np.ndarray,
    near: np.ndarray,
    gone_indptr: np.ndarray,
    gone_H: np.ndarray,
    depth: int,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return those of each user's near rows whose products are the largest positive ones.

    Args:
        vector_BD: float32.
        table: float32, shape (I, D).
        near: Rows, each once, shape (B, L), -1 for padding.
        gone_indptr: Of what is left out.
        gone_H: Rows that are left out.
        depth: How many.
        place: Scratch.

    Returns:
        int32 (B, depth), -1 for padding, ties to the lower row; the largest product of all that
        are near, at least 0, float32 (B,).
    """
    best = np.full((len(near), depth), -1, dtype=np.int32)
    largest = np.zeros(len(near), dtype=np.float32)
    column = np.empty(near.shape[1], dtype=np.int32)
    value = np.empty(near.shape[1], dtype=np.float32)
    for b in range(len(near)):
        for h in range(gone_indptr[b], gone_indptr[b + 1]):
            place[gone_H[h]] = 0
        num = 0
        for k in range(min(_AHEAD, near.shape[1])):
            prefetch_row(table, max(near[b, k], 0))
        for k in range(near.shape[1]):
            if k + _AHEAD < near.shape[1]:
                prefetch_row(table, max(near[b, k + _AHEAD], 0))
            row = near[b, k]
            if row < 0:
                continue
            told = dot(vector_BD[b], table[row])
            largest[b] = max(largest[b], told)
            if told > 0 and place[row] < 0:
                column[num] = row
                value[num] = told
                num += 1
        for h in range(gone_indptr[b], gone_indptr[b + 1]):
            place[gone_H[h]] = -1
        found, _ = best_first(column[:num], value[:num], depth)
        best[b, : len(found)] = found
    return best, largest


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
        best, told = best_first(item[:num], sums[:num].astype(np.float32), num_wanted)
        for k in range(len(best)):
            item_idx[b, k] = best[k]
            fused[b, k] = told[k]
            place[best[k]] = k
        for s in range(num_sources):
            for nth in range(length):
                column = ranked[s, b, nth]
                if column >= 0 and place[column] >= 0:
                    rank[b, place[column], s] = nth
        for k in range(len(best)):
            place[best[k]] = -1
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
        wanted: Columns, shape (B, K); those below 0 are nowhere.
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
