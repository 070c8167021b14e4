"""The loops behind `recsys.pair_features`, compiled by Numba.

Shape suffixes: B users, K candidates, S sources, H history rows, I items, C categories, D text
width, F features.
"""

from typing import Any

import numpy as np
from numba import njit

from recsys.kernels import dot
from recsys.prefetching import prefetch_element, prefetch_row

_compiled: Any = njit(cache=True, nogil=True)
_SHRUNK_BY = 0.1
# How many candidates ahead others are asked for: of wide rows, of narrow ones.
_AHEAD, _FAR_AHEAD = 4, 16


@_compiled
def fill_features(
    out: np.ndarray,
    score: np.ndarray,
    log_rank: np.ndarray,
    rank: np.ndarray,
    last: np.ndarray,
    fused: np.ndarray,
    item_idx: np.ndarray,
    dense: np.ndarray,
    user: np.ndarray,
    length_B: np.ndarray,
) -> None:
    """Write all columns but those of pairs.

    Args:
        out: float32, shape (B, K, F).
        score: Of each source, shape (B, K, S).
        log_rank: log(1 + rank) by rank.
        rank: In each source, shape (B, K, S).
        last: Of each source, shape (B, K, S).
        fused: Shape (B, K).
        item_idx: -1 stands for item 0, shape (B, K).
        dense: Of items, shape (I, columns).
        user: Shape (B, columns).
        length_B: How much each user bought.
    """
    num_users, num_candidates, num_sources = score.shape
    num_dense, num_user = dense.shape[1], user.shape[1]
    for b in range(num_users):
        length = np.float32(np.log1p(np.float64(length_B[b])))
        for k in range(num_candidates):
            if k + _FAR_AHEAD < num_candidates:
                prefetch_row(dense, max(item_idx[b, k + _FAR_AHEAD], 0))
            row = out[b, k]
            for s in range(num_sources):
                row[s] = score[b, k, s]
                row[num_sources + s] = log_rank[rank[b, k, s]]
                row[2 * num_sources + s] = last[b, k, s]
            at = 3 * num_sources
            row[at] = fused[b, k]
            item = max(item_idx[b, k], 0)
            for column in range(num_dense):
                row[at + 1 + column] = dense[item, column]
            at += 1 + num_dense
            for column in range(num_user):
                row[at + column] = user[b, column]
            row[at + num_user] = length


@_compiled
def fill_pairs(
    out: np.ndarray,
    item_idx: np.ndarray,
    bought_indptr: np.ndarray,
    bought_H: np.ndarray,
    felt_H: np.ndarray,
    text: np.ndarray,
    brand_idx: np.ndarray,
    dense: np.ndarray,
    price_column: int,
    max_history: int,
) -> None:
    """Write what joins text, brand and price of purchases with each candidate.

    Columns 0 to 2 are of text, 7 and 8 of the brand, 9 of the price; see `PAIR_FEATURES`.

    Args:
        out: float32, shape (B, K, 12).
        item_idx: -1 stands for item 0, shape (B, K).
        bought_indptr: Rows of user b are bought_H[indptr[b]:indptr[b + 1]].
        bought_H: Items.
        felt_H: Polarity, NaN where unknown.
        text: Unit vectors, shape (I, D).
        brand_idx: 0 for none, shape (I,).
        dense: Of items, shape (I, columns).
        price_column: Of `dense`.
        max_history: Only so many of the last rows count.
    """
    num_candidates = item_idx.shape[1]
    past_HD = np.empty((max_history, text.shape[1]), dtype=np.float32)
    for b in range(len(item_idx)):
        end = bought_indptr[b + 1]
        start = max(bought_indptr[b], end - max_history)
        num = end - start
        if num == 0:
            continue
        for h in range(start, end):
            past_HD[h - start] = text[bought_H[h]]
        paid = 0.0
        for h in range(start, end):
            paid += dense[bought_H[h], price_column]
        paid /= num
        for k in range(min(_AHEAD, num_candidates)):
            prefetch_row(text, max(item_idx[b, k], 0))
        for k in range(num_candidates):
            if k + _AHEAD < num_candidates:
                prefetch_row(text, max(item_idx[b, k + _AHEAD], 0))
                prefetch_element(brand_idx, max(item_idx[b, k + _AHEAD], 0))
            item = max(item_idx[b, k], 0)
            row, text_D, brand = out[b, k], text[item], brand_idx[item]
            nearest, total = np.float32(-np.inf), 0.0
            closeness, felt_close = 0.0, 0.0
            num_same, felt_same = 0, 0.0
            for h in range(start, end):
                past = bought_H[h]
                felt = 0.0 if np.isnan(felt_H[h]) else felt_H[h]
                similarity = dot(text_D, past_HD[h - start])
                nearest = max(nearest, similarity)
                total += similarity
                if similarity > 0:
                    close = similarity * similarity
                    closeness += close
                    felt_close += close * felt
                if brand > 0 and brand_idx[past] == brand:
                    num_same += 1
                    felt_same += felt
            row[0] = nearest
            row[1] = total / num
            row[2] = felt_close / (closeness + _SHRUNK_BY)
            row[7] = num_same / num
            row[8] = felt_same / (num_same + 1.0)
            row[9] = dense[item, price_column] - paid


@_compiled
def fill_categories(
    out: np.ndarray,
    item_idx: np.ndarray,
    bought_indptr: np.ndarray,
    bought_H: np.ndarray,
    felt_H: np.ndarray,
    category_indptr: np.ndarray,
    category_idx: np.ndarray,
    rarity_C: np.ndarray,
    max_history: int,
    fade: float,
) -> None:
    """Write columns 3 to 6: share, mood, and rarity shared with the last and recent purchases.

    Args:
        out: float32, shape (B, K, 12).
        item_idx: -1 stands for item 0, shape (B, K).
        bought_indptr: Rows of user b are bought_H[indptr[b]:indptr[b + 1]].
        bought_H: Items.
        felt_H: Polarity, NaN where unknown.
        category_indptr: Categories of item i are category_idx[indptr[i]:indptr[i + 1]].
        category_idx: See there.
        rarity_C: Of categories.
        max_history: Only so many of the last rows count.
        fade: Factor a row loses for each row that came after it.
    """
    # Of each category: purchases, their mood, those of the last row, those that fade.
    past_C4 = np.zeros((len(rarity_C), 4))
    for b in range(len(item_idx)):
        end = bought_indptr[b + 1]
        start = max(bought_indptr[b], end - max_history)
        if end == start:
            continue
        fading = 1.0
        for h in range(end - 1, start - 1, -1):
            felt = 0.0 if np.isnan(felt_H[h]) else felt_H[h]
            for entry in range(category_indptr[bought_H[h]], category_indptr[bought_H[h] + 1]):
                past_4 = past_C4[category_idx[entry]]
                past_4[0] += 1.0
                past_4[1] += felt
                past_4[2] += h == end - 1
                past_4[3] += fading
            fading *= fade
        for k in range(item_idx.shape[1]):
            item = max(item_idx[b, k], 0)
            first, after = category_indptr[item], category_indptr[item + 1]
            share, mood, of_last, of_recent = 0.0, 0.0, 0.0, 0.0
            for entry in range(first, after):
                category = category_idx[entry]
                past_4 = past_C4[category]
                if past_4[0] == 0:
                    continue
                share += past_4[0]
                mood += past_4[1] / (past_4[0] + 1.0)
                of_last += past_4[2] * rarity_C[category]
                of_recent += past_4[3] * rarity_C[category]
            each = max(after - first, 1)
            row = out[b, k]
            row[3] = share / (end - start) / each
            row[4] = mood / each
            row[5] = of_last
            row[6] = of_recent
        for h in range(start, end):
            for entry in range(category_indptr[bought_H[h]], category_indptr[bought_H[h] + 1]):
                past_C4[category_idx[entry]] = 0.0


@_compiled
def fill_browsed(
    out: np.ndarray,
    item_idx: np.ndarray,
    browsed_indptr: np.ndarray,
    browsed_H: np.ndarray,
    strength_H: np.ndarray,
    max_history: int,
) -> None:
    """Write columns 10 and 11: how strongly and how lately the item itself was browsed.

    Args:
        out: float32, shape (B, K, 12).
        item_idx: -1 stands for item 0, shape (B, K).
        browsed_indptr: Rows of user b are browsed_H[indptr[b]:indptr[b + 1]].
        browsed_H: Items, each once.
        strength_H: See `features.histories`.
        max_history: Only so many of the last rows count.
    """
    for b in range(len(item_idx)):
        end = browsed_indptr[b + 1]
        start = max(browsed_indptr[b], end - max_history)
        for k in range(item_idx.shape[1]):
            item = max(item_idx[b, k], 0)
            for h in range(start, end):
                if browsed_H[h] == item:
                    out[b, k, 10] = np.log1p(strength_H[h])
                    out[b, k, 11] = 1.0 / (end - h)
