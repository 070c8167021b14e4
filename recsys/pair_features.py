"""Features of a user and a candidate: one function, for training frames and for a single request.

Shape suffixes: B users, K candidates, S sources, H rows of one user's history, F features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys import pair_kernels
from recsys.candidates import Candidates
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

    Raises:
        ValueError: If text is of another number of items.
    """
    # Compiled loops do not look where they read.
    if len(text) != len(items):
        raise ValueError(f"text vectors of {len(text)} items, wanted {len(items)}")
    shape = candidates.item_idx.shape
    num_others = 3 * len(candidates.sources) + 2 + items.dense.shape[1] + query.user.shape[1]
    features = np.zeros((*shape, num_others + len(PAIR_FEATURES)), dtype=np.float32)
    pairs = features[:, :, num_others:]
    bought, browsed, item_idx = query.bought, query.browsed, candidates.item_idx
    pair_kernels.fill_features(
        features,
        candidates.score,
        np.log1p(np.arange(candidates.rank.max(initial=0) + 1, dtype=np.float32)),
        candidates.rank,
        candidates.last,
        candidates.fused,
        item_idx,
        items.dense,
        query.user,
        bought.lengths,
    )
    past = (bought.indptr, bought.item_idx, bought.sentiment)
    pair_kernels.fill_pairs(
        pairs, item_idx, *past, text, items.brand_idx, items.dense, _PRICE, MAX_HISTORY
    )
    pair_kernels.fill_categories(
        pairs,
        item_idx,
        *past,
        items.category_indptr,
        items.category_idx,
        items.category_rarity,
        MAX_HISTORY,
        _FADE,
    )
    pair_kernels.fill_browsed(
        pairs, item_idx, browsed.indptr, browsed.item_idx, browsed.sentiment, MAX_HISTORY
    )
    return features
