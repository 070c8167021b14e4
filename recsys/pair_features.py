"""Features of a user and a candidate: one function, for training frames and for a single request.

Shape suffixes: B users, K candidates, S sources, H rows of one user's history, F features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.candidates import Candidates
from recsys.interactions import Histories, concat_ranges
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.query import USER_COLUMNS, Query

MAX_HISTORY = 20
_FADE = 0.8
_PRICE = list(DENSE_COLUMNS).index("price_cents")


@dataclass(frozen=True)
class PairFeature:
    """One column that joins a user's past with a candidate.

    Attributes:
        name: Of the column, after `pair:`.
        unit: Of its values.
        meaning: What it says, in one line.
        default: Of a user whose past says nothing of it.
    """

    name: str
    unit: str
    meaning: str
    default: float = 0.0

    def described(self) -> dict[str, Any]:
        """Return the declaration as `features.feature.Feature.described` does."""
        return {
            "name": self.name,
            "scope": "user x item",
            "dtype": "Float32",
            "unit": self.unit,
            "window_days": None,
            "default": self.default,
            "meaning": self.meaning,
        }


# In the order of the columns. Purchases are the last `MAX_HISTORY`.
PAIR_FEATURES = (
    PairFeature("text_max", "cosine", "text of the item and of the purchase that is closest"),
    PairFeature("text_mean", "cosine", "text of the item and of the purchases, mean"),
    PairFeature("felt_text", "polarity", "how purchases of like text were felt about, shrunk"),
    PairFeature("category_share", "share", "purchases in a category of the item, mean of them"),
    PairFeature("felt_category", "polarity", "how purchases there were felt about, shrunk"),
    PairFeature("kin_of_last", "sum of log(I / n)", "rare categories of the last purchase too"),
    PairFeature("kin_of_recent", "sum of log(I / n)", "the same of all purchases; the older fade"),
    PairFeature("brand_share", "share", "purchases of the item's brand"),
    PairFeature("felt_brand", "polarity", "how purchases of the brand were felt about, shrunk"),
    PairFeature("price_gap", "log cents / 5", "price above the mean of the purchases"),
    PairFeature("browse_strength", "log strength", "how strongly the item itself was browsed"),
    PairFeature("browse_recency", "1 / place", "how lately, 1 for the item browsed last"),
)


def feature_names(sources: tuple[str, ...]) -> list[str]:
    """Return the names of the F features, in order."""
    return [
        *(f"score:{name}" for name in sources),
        *(f"log_rank:{name}" for name in sources),
        *(f"last:{name}" for name in sources),
        "fused",
        *(f"item:{name}" for name in DENSE_COLUMNS),
        *(f"user:{name}" for name in USER_COLUMNS),
        "user:history_length",
        *(f"pair:{feature.name}" for feature in PAIR_FEATURES),
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
    item_idx = np.maximum(candidates.item_idx, 0, dtype=np.intp)
    num_users, num_candidates = item_idx.shape
    dense = items.dense[item_idx]
    user = np.concatenate(
        [query.user, np.log1p(query.bought.lengths)[:, None].astype(np.float32)], axis=1
    )
    pairs = np.empty((num_users, num_candidates, len(PAIR_FEATURES)), dtype=np.float32)
    for b in range(num_users):
        pairs[b] = _pairs_of_user(query, b, item_idx[b], items, text)
    return np.concatenate(
        [
            candidates.score,
            np.log1p(candidates.rank, dtype=np.float32),
            candidates.last,
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
    """Return what joins one user's history with each candidate, shape (K, len(PAIR_FEATURES))."""
    history, felt = _rows(query.bought, b)
    browsed, strength = _rows(query.browsed, b)
    out = np.zeros((len(PAIR_FEATURES), len(item_K)), dtype=np.float32)
    if len(history):
        known = np.nan_to_num(felt)
        similarity_KH = text.take(item_K, axis=0) @ text[history].T
        out[0] = similarity_KH.max(1)
        out[1] = similarity_KH @ np.full(len(history), 1.0 / len(history), dtype=np.float32)
        close_KH = np.square(np.maximum(similarity_KH, 0.0))
        out[2] = close_KH @ known / (close_KH.sum(1) + 0.1)
        out[3:7] = _category_features(history, known, item_K, items)
        brand_K = items.brand_idx[item_K]
        same_KH = (brand_K[:, None] == items.brand_idx[history]) & (brand_K > 0)[:, None]
        num_same = same_KH.sum(1)
        out[7] = num_same / len(history)
        out[8] = same_KH @ known / (num_same + 1.0)
        out[9] = items.dense[item_K, _PRICE] - items.dense[history, _PRICE].mean()
    if len(browsed):
        order = np.argsort(browsed)
        rows = order[np.searchsorted(browsed, item_K, sorter=order).clip(max=len(browsed) - 1)]
        hit = browsed[rows] == item_K
        out[10, hit] = np.log1p(strength[rows[hit]])
        out[11, hit] = 1.0 / (len(browsed) - rows[hit])
    return out.T


def _rows(histories: Histories, b: int) -> tuple[np.ndarray, np.ndarray]:
    start, end = histories.indptr[b], histories.indptr[b + 1]
    start = max(start, end - MAX_HISTORY)
    return histories.item_idx[start:end], histories.sentiment[start:end]


def _category_features(
    history: np.ndarray, felt: np.ndarray, item_K: np.ndarray, items: ItemFeatures
) -> np.ndarray:
    """Return share, mood, and rarity shared with the last and with recent purchases, (4, K)."""
    categories, row, _ = _categories_of(history, items)
    size = items.num_categories
    counts = np.bincount(categories, minlength=size)
    moods = np.bincount(categories, felt[row], minlength=size) / (counts + 1.0)
    last = np.bincount(categories[row == len(history) - 1], minlength=size)
    fading = _FADE ** (len(history) - 1 - row)
    recent = np.bincount(categories, fading, minlength=size)
    of_items, place, num = _categories_of(item_K, items)
    each = np.maximum(num, 1)
    told = [
        np.bincount(place, of_category[of_items], minlength=len(item_K))
        for of_category in (
            counts / len(history),
            moods,
            last * items.category_rarity,
            recent * items.category_rarity,
        )
    ]
    return np.stack([told[0] / each, told[1] / each, told[2], told[3]])


def _categories_of(
    item_idx: np.ndarray, items: ItemFeatures
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the categories of items side by side, whose each is, and how many each has."""
    starts, ends = items.category_indptr[item_idx], items.category_indptr[item_idx + 1]
    num = ends - starts
    categories = items.category_idx[concat_ranges(starts, ends)]
    return categories, np.repeat(np.arange(len(item_idx)), num), num
