"""What the two towers read, in NumPy: rows as weighted bags of items, categories and brands.

Shared by training and by the NumPy query tower of serving, so both see the same inputs.

Shape suffixes: R rows, B query rows, C candidate items, H history rows, T text width, F dense item
features, Q query features, P inputs of attention.
"""

from dataclasses import dataclass

import numpy as np

from recsys import history_kernels as kernels
from recsys.history_weights import HistoryWeights, browse_weights, normalised
from recsys.interactions import Histories
from recsys.item_features import ItemFeatures

KEYS = ("item", "category", "brand")
NUM_QUERY_FEATURES = 5
NUM_ATTENTION_INPUTS = 3
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Bags:
    """Rows as weighted bags over the three tables, with their dense and text inputs.

    Attributes:
        values: For each key of `KEYS`, ids of all rows, int64.
        lengths: For each key, ids per row, int32, shape (R,).
        weights: For each key, a weight an id, float32.
        dense: Item rows: profile features (R, F). Rows of what was bought: history features (R, Q).
            Rows of what was browsed: none, (R, 0).
        text: Weighted mean of item text vectors, float32, shape (R, T).
    """

    values: tuple[np.ndarray, ...]
    lengths: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    dense: np.ndarray
    text: np.ndarray


def item_bags(items: np.ndarray, features: ItemFeatures) -> Bags:
    """Return one row an item, shape suffix C."""
    ones = np.ones(len(items), dtype=np.float32)
    indptr = np.arange(len(items) + 1)
    return _bags(indptr, items, ones, features, dense=features.dense[items])


def query_bags(
    bought: Histories, browsed: Histories, history: HistoryWeights, features: ItemFeatures
) -> tuple[Bags, Bags]:
    """Return one row a user for what was bought, and one for what was browsed.

    The weights of each row sum to one, or to zero where there is no history.
    """
    weights, looks = query_shares(bought, browsed, history)
    dense = query_features(bought, browsed)
    none = np.zeros((len(browsed), 0), dtype=np.float32)
    return (
        _bags(bought.indptr, bought.item_idx, weights, features, dense=dense),
        _bags(browsed.indptr, browsed.item_idx, looks, features, dense=none),
    )


def query_shares(
    bought: Histories, browsed: Histories, history: HistoryWeights
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of what was bought and of what was browsed, float32, shape (H,) each."""
    return (
        normalised(history.of(bought), bought),
        normalised(browse_weights(browsed), browsed),
    )


@dataclass(frozen=True, kw_only=True)
class Attended:
    """What attention reads of each row of what was bought.

    Attributes:
        item_idx: int64, shape (H,).
        row: Query row of each, ascending, int64, shape (H,).
        log_weight: Log of its weight in the bag, where attention starts, float32, shape (H,).
        inputs: Log of one plus the steps back, polarity (0 where unknown), whether it is known,
            float32, shape (H, P).
    """

    item_idx: np.ndarray
    row: np.ndarray
    log_weight: np.ndarray
    inputs: np.ndarray


def attended(bought: Histories, history: HistoryWeights) -> Attended:
    """Return the rows that attention pools."""
    known = ~np.isnan(bought.sentiment)
    inputs = [np.log1p(bought.steps_back), np.nan_to_num(bought.sentiment), known]
    return Attended(
        item_idx=bought.item_idx.astype(np.int64),
        row=bought.row,
        log_weight=np.log(np.maximum(history.of(bought), _LEAST_WEIGHT)),
        inputs=np.stack(inputs, axis=1).astype(np.float32),
    )


def query_features(bought: Histories, browsed: Histories) -> np.ndarray:
    """Return what histories say beside their items, float32, shape (B, Q).

    Log of the number bought, share of those with a review, mean polarity, share of negative
    polarity, log of the number browsed.
    """
    return kernels.query_features(bought.indptr, bought.sentiment, browsed.indptr)


def _bags(
    indptr: np.ndarray,
    items: np.ndarray,
    weights: np.ndarray,
    features: ItemFeatures,
    *,
    dense: np.ndarray,
) -> Bags:
    categories, num_categories, shares = kernels.category_bags(
        indptr, items, weights, features.category_indptr, features.category_idx
    )
    counts = np.diff(indptr).astype(np.int32)
    return Bags(
        values=(items.astype(np.int64), categories, features.brand_idx[items].astype(np.int64)),
        lengths=(counts, num_categories, counts),
        weights=(weights, shares, weights),
        dense=dense,
        text=bag_sum(features.text, items, counts, weights),
    )


def bag_sum(
    table: np.ndarray, values: np.ndarray, lengths: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the weighted sum of table rows of each bag, float32, shape (R, D).

    Args:
        table: Rows to sum, float32, shape (V, D).
        values: Row indices of all bags, one bag after the other.
        lengths: Indices per bag, shape (R,).
        weights: A weight an index, float32.
    """
    return kernels.bag_sums(table, values, lengths, weights)
