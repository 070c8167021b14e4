"""What the two towers read, in NumPy: rows as weighted bags of items, categories and brands.

Shared by training and by the NumPy query tower of serving, so both see the same inputs.

Shape suffixes: R rows, B query rows, C candidate items, T text width, F dense item features,
Q query features.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recsys.interactions import Histories, concat_ranges
from recsys.item_features import ItemFeatures

KEYS = ("item", "category", "brand")
NUM_QUERY_FEATURES = 4


@dataclass(frozen=True, kw_only=True)
class Bags:
    """Rows as weighted bags over the three tables, with their dense and text inputs.

    Attributes:
        values: For each key of `KEYS`, ids of all rows, int64.
        lengths: For each key, ids per row, int32, shape (R,).
        weights: For each key, a weight an id, float32.
        dense: Item rows: profile features (R, F). Query rows: history features (R, Q).
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
    rows = np.arange(len(items))
    return _bags(rows, items, ones, len(items), features, dense=features.dense[items])


def query_bags(histories: Histories, weights: np.ndarray, features: ItemFeatures) -> Bags:
    """Return one row a user; `weights` should sum to one over each user's rows."""
    return _bags(
        histories.row,
        histories.item_idx,
        weights,
        len(histories),
        features,
        dense=query_features(histories),
    )


def query_features(histories: Histories) -> np.ndarray:
    """Return what a history says beside its items, float32, shape (B, Q).

    Log of its length, share of rows with a review, mean polarity, share of negative polarity.
    """
    row, num = histories.row, np.maximum(histories.lengths, 1)
    known = ~np.isnan(histories.sentiment)
    felt = np.nan_to_num(histories.sentiment)
    size = len(histories)
    reviewed = np.bincount(row, known, minlength=size)
    return np.stack(
        [
            np.log1p(histories.lengths) / 5.0,
            reviewed / num,
            np.bincount(row, felt, minlength=size) / np.maximum(reviewed, 1),
            np.bincount(row, felt < 0, minlength=size) / np.maximum(reviewed, 1),
        ],
        axis=1,
    ).astype(np.float32)


def _bags(
    row: np.ndarray,
    items: np.ndarray,
    weights: np.ndarray,
    num_rows: int,
    features: ItemFeatures,
    *,
    dense: np.ndarray,
) -> Bags:
    starts, ends = features.category_indptr[items], features.category_indptr[items + 1]
    num = ends - starts
    categories = features.category_idx[concat_ranges(starts, ends)]
    counts = np.bincount(row, minlength=num_rows).astype(np.int32)
    category_counts = np.bincount(row, num, minlength=num_rows).astype(np.int32)
    return Bags(
        values=(
            items.astype(np.int64),
            categories.astype(np.int64),
            features.brand_idx[items].astype(np.int64),
        ),
        lengths=(counts, category_counts, counts),
        weights=(
            weights.astype(np.float32),
            np.repeat(weights / np.maximum(num, 1), num).astype(np.float32),
            weights.astype(np.float32),
        ),
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
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    bags = sp.csr_matrix((weights, values, indptr), shape=(len(lengths), len(table)))
    return np.asarray(bags @ table, dtype=np.float32)
