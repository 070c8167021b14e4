"""Features of a user and a candidate: one function, for training frames and for a single request.

Shape suffixes: B users, K candidates, S sources, H rows of one user's history, F features.
"""

import numpy as np

from recsys.candidates import Candidates
from recsys.interactions import Histories
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.query import USER_COLUMNS, Query

MAX_HISTORY = 20
_PRICE = list(DENSE_COLUMNS).index("price_cents")
_PAIR_NAMES = (
    "text_max",
    "text_mean",
    "felt_text",
    "category_share",
    "felt_category",
    "brand_share",
    "felt_brand",
    "price_gap",
    "browse_strength",
    "browse_recency",
)


def feature_names(sources: tuple[str, ...]) -> list[str]:
    """Return the names of the F features, in order."""
    return [
        *(f"score:{name}" for name in sources),
        *(f"log_rank:{name}" for name in sources),
        "fused",
        *(f"item:{name}" for name in DENSE_COLUMNS),
        *(f"user:{name}" for name in USER_COLUMNS),
        "user:history_length",
        *(f"pair:{name}" for name in _PAIR_NAMES),
    ]


def pair_features(
    query: Query, candidates: Candidates, items: ItemFeatures, text: np.ndarray
) -> np.ndarray:
    """Return the features of every user and candidate, float32, shape (B, K, F).

    Args:
        query: B users.
        candidates: K candidates each; rows padded with -1 get the features of item 0 and must be
            ignored by the caller.
        items: Features over the item index.
        text: Centred unit text vectors, float32, shape (I, D).
    """
    item_idx = np.maximum(candidates.item_idx, 0)
    num_users, num_candidates = item_idx.shape
    dense = items.dense[item_idx]
    user = np.concatenate(
        [query.user, np.log1p(query.bought.lengths)[:, None].astype(np.float32)], axis=1
    )
    pairs = np.empty((num_users, num_candidates, len(_PAIR_NAMES)), dtype=np.float32)
    for b in range(num_users):
        pairs[b] = _pairs_of_user(query, b, item_idx[b], items, text)
    return np.concatenate(
        [
            candidates.score,
            np.log1p(candidates.rank),
            candidates.fused[:, :, None],
            dense,
            np.broadcast_to(user[:, None, :], (num_users, num_candidates, user.shape[1])),
            pairs,
        ],
        axis=2,
        dtype=np.float32,
    )


def _pairs_of_user(
    query: Query, b: int, item_K: np.ndarray, items: ItemFeatures, text: np.ndarray
) -> np.ndarray:
    """Return what joins one user's history with each candidate, shape (K, len(_PAIR_NAMES))."""
    history, felt = _rows(query.bought, b)
    browsed, strength = _rows(query.browsed, b)
    out = np.zeros((len(_PAIR_NAMES), len(item_K)), dtype=np.float32)
    if len(history):
        known = np.nan_to_num(felt)
        similarity_HK = text[history] @ text[item_K].T
        close_HK = np.maximum(similarity_HK, 0.0) ** 2
        out[0] = similarity_HK.max(0)
        out[1] = similarity_HK.mean(0)
        out[2] = known @ close_HK / (close_HK.sum(0) + 0.1)
        share, mood = _category_affinity(history, known, items)
        out[3], out[4] = _mean_over_categories(share, mood, item_K, items)
        same_HK = items.brand_idx[history][:, None] == items.brand_idx[item_K][None]
        same_HK &= items.brand_idx[item_K] > 0
        out[5] = same_HK.mean(0)
        out[6] = known @ same_HK / (same_HK.sum(0) + 1.0)
        out[7] = items.dense[item_K, _PRICE] - items.dense[history, _PRICE].mean()
    if len(browsed):
        place = {item: row for row, item in enumerate(browsed.tolist())}
        rows = np.array([place.get(item, -1) for item in item_K.tolist()])
        hit = rows >= 0
        out[8, hit] = np.log1p(strength[rows[hit]])
        out[9, hit] = 1.0 / (len(browsed) - rows[hit])
    return out.T


def _rows(histories: Histories, b: int) -> tuple[np.ndarray, np.ndarray]:
    start, end = histories.indptr[b], histories.indptr[b + 1]
    start = max(start, end - MAX_HISTORY)
    return histories.item_idx[start:end], histories.sentiment[start:end]


def _category_affinity(
    history: np.ndarray, felt: np.ndarray, items: ItemFeatures
) -> tuple[np.ndarray, np.ndarray]:
    """Return share of history in each category, and shrunk mean polarity there, shape (C,)."""
    starts, ends = items.category_indptr[history], items.category_indptr[history + 1]
    num = ends - starts
    categories = np.concatenate(
        [items.category_idx[s:e] for s, e in zip(starts, ends, strict=True)]
    )
    row = np.repeat(np.arange(len(history)), num)
    counts = np.bincount(categories, minlength=items.num_categories)
    moods = np.bincount(categories, felt[row], minlength=items.num_categories)
    return counts / len(history), moods / (counts + 1.0)


def _mean_over_categories(
    share: np.ndarray, mood: np.ndarray, item_K: np.ndarray, items: ItemFeatures
) -> tuple[np.ndarray, np.ndarray]:
    starts, ends = items.category_indptr[item_K], items.category_indptr[item_K + 1]
    num = ends - starts
    row = np.repeat(np.arange(len(item_K)), num)
    categories = np.concatenate(
        [items.category_idx[s:e] for s, e in zip(starts, ends, strict=True)]
    )
    size, each = len(item_K), np.maximum(num, 1)
    return (
        np.bincount(row, share[categories], minlength=size) / each,
        np.bincount(row, mood[categories], minlength=size) / each,
    )
