"""The loop behind `recsys.rerank`, compiled by Numba.

Shape suffixes: I items, K candidates, H history rows of one user.
"""

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True)
_DAY_US = 86_400_000_000
# So that a factor moves also what is least relevant.
_LEAST_RELEVANCE = 0.05


@_compiled
def relevance_of(score_K: np.ndarray) -> np.ndarray:
    """Return where scores lie between the least (0.05) and the greatest (1); all the same: 1."""
    relevance_K = np.ones(len(score_K))
    if len(score_K) == 0:
        return relevance_K
    low, high = score_K.min(), score_K.max()
    if high > low:
        for k in range(len(score_K)):
            share = (np.float64(score_K[k]) - low) / (np.float64(high) - low)
            relevance_K[k] = _LEAST_RELEVANCE + (1.0 - _LEAST_RELEVANCE) * share
    return relevance_K


@_compiled
def most_relevant(
    item_K: np.ndarray, relevance_K: np.ndarray, factor_I: np.ndarray, least: float, num: int
) -> np.ndarray:
    """Return the places of the most relevant items, best first, the first of equals, int64.

    Args:
        item_K: Items.
        relevance_K: Of each.
        factor_I: Of the shop's rules; items whose factor is 0 are left out.
        least: Items of less relevance are left out.
        num: How many at most.
    """
    place = np.empty(len(item_K), dtype=np.int64)
    falling = np.empty(len(item_K))
    left = 0
    for k in range(len(item_K)):
        # As it is shown, in single precision: what is shown is a limit that holds.
        if factor_I[item_K[k]] > 0 and np.float32(relevance_K[k]) >= np.float32(least):
            place[left], falling[left] = k, -relevance_K[k]
            left += 1
    return place[np.argsort(falling[:left], kind="mergesort")[:num]]


@_compiled
def kept_relevance(
    item_K: np.ndarray,
    brand_I: np.ndarray,
    drifting_I: np.ndarray,
    factor_I: np.ndarray,
    bought_H: np.ndarray,
    felt_H: np.ndarray,
    time_H: np.ndarray,
    now: int,
    half_life_days: float,
    suppress_brand: float,
    demote_drifting: float,
) -> np.ndarray:
    """Return what each item keeps of its relevance, aspects aside, float64, shape (K,).

    How bad a brand was is the sum of the decayed polarities of what was bought of it, turned
    around and cut to [0, 1].

    Args:
        item_K: Items.
        brand_I: 0 is "no brand".
        drifting_I: bool.
        factor_I: Of the shop's rules.
        bought_H: Items of one user.
        felt_H: Polarity, NaN where unknown.
        time_H: Of each purchase, microseconds since the epoch.
        now: The moment of asking; ages are counted in days of UTC: two requests of one day are
            answered alike.
        half_life_days: Days after which a purchase weighs half.
        suppress_brand: How much of its relevance the worst brand loses.
        demote_drifting: How much a drifting item loses.
    """
    weighed_H = np.zeros(len(bought_H))
    for h in range(len(bought_H)):
        if not np.isnan(felt_H[h]):
            age_days = max(now // _DAY_US - time_H[h] // _DAY_US, 0)
            weighed_H[h] = felt_H[h] * 0.5 ** (age_days / half_life_days)
    kept_K = np.empty(len(item_K))
    for k in range(len(item_K)):
        brand, felt = brand_I[item_K[k]], 0.0
        if brand != 0:
            for h in range(len(bought_H)):
                if brand_I[bought_H[h]] == brand:
                    felt += weighed_H[h]
        kept = 1.0 - suppress_brand * min(max(-felt, 0.0), 1.0)
        if drifting_I[item_K[k]]:
            kept *= 1.0 - demote_drifting
        kept_K[k] = kept * factor_I[item_K[k]]
    return kept_K


@_compiled
def found_wanting(
    item_K: np.ndarray,
    indptr: np.ndarray,
    aspect: np.ndarray,
    polarity: np.ndarray,
    complaint_A: np.ndarray,
) -> np.ndarray:
    """Return how wanting others find each item in what a user complained of, in [0, 1], (K,).

    Of several aspects the one that is worst in both decides.

    Args:
        item_K: Items.
        indptr: Aspects of item i are aspect[indptr[i]:indptr[i + 1]].
        aspect: See there.
        polarity: Of each, in [-1, 1].
        complaint_A: How badly the user spoke of each aspect, in [0, 1].
    """
    wanting_K = np.zeros(len(item_K))
    for k in range(len(item_K)):
        for entry in range(indptr[item_K[k]], indptr[item_K[k] + 1]):
            told = -polarity[entry] * complaint_A[aspect[entry]]
            wanting_K[k] = max(wanting_K[k], told)
    return wanting_K


@_compiled
def rarest_category(
    category_indptr: np.ndarray, category_idx: np.ndarray, rarity_C: np.ndarray
) -> np.ndarray:
    """Return the rarest category of each item, the first of equals, -1 for none, int64, (I,).

    Args:
        category_indptr: Categories of item i are category_idx[indptr[i]:indptr[i + 1]].
        category_idx: See there.
        rarity_C: Of categories.
    """
    rarest_I = np.full(len(category_indptr) - 1, -1, dtype=np.int64)
    for i in range(len(rarest_I)):
        for entry in range(category_indptr[i], category_indptr[i + 1]):
            category = category_idx[entry]
            if rarest_I[i] < 0 or rarity_C[category] > rarity_C[rarest_I[i]]:
                rarest_I[i] = category
    return rarest_I
