"""The trained item tower in NumPy, so that a bundle takes in items without torch or a training.

Parity with `recsys.two_tower` is tested to 1e-5.

Shape suffixes: N items, D table width, T text width, F dense features, E hidden width.
"""

from dataclasses import dataclass, fields

import numpy as np

from recsys import history_kernels
from recsys.item_features import ItemFeatures
from recsys.query_tower import QueryTowerWeights
from recsys.tower_kernels import gelu, linear


@dataclass(frozen=True, kw_only=True)
class ItemTowerWeights:
    """Arrays of a trained item tower; matrices are (outputs, inputs) as torch keeps them.

    Tables and the bias of the text layer are shared with the query tower and not held twice.

    Attributes:
        text_weight: Of the text layer, shape (D, T).
        hidden_weight: Shape (E, 4 D + F).
        hidden_bias: Shape (E,).
        output_weight: Shape (D + 1, E).
        output_bias: Shape (D + 1,).
    """

    text_weight: np.ndarray
    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    output_weight: np.ndarray
    output_bias: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return name -> array, for saving."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def item_vectors(
    items: np.ndarray,
    features: ItemFeatures,
    recent: np.ndarray,
    item_tower: ItemTowerWeights,
    shared: QueryTowerWeights,
) -> np.ndarray:
    """Return the vectors of items, as training would have left them, float32, shape (N, D + 2).

    Args:
        items: Indices, shape (N,).
        features: Of the whole catalogue.
        recent: `recsys.recency.recent_popularity` of these items, shape (N,).
        item_tower: Weights.
        shared: Tables of the same model, with a row for each of the items.
    """
    pooled_items, categories, brands, text = history_kernels.pooled(
        np.arange(len(items) + 1),
        items,
        np.ones(len(items), dtype=np.float32),
        features.category_indptr,
        features.category_idx,
        features.brand_idx,
        shared.item_table,
        shared.category_table,
        shared.brand_table,
        shared.text_table,
    )
    inputs_NX = np.concatenate(
        [pooled_items, categories, brands, text + shared.text_bias, features.dense[items]], axis=1
    )
    hidden_NE = gelu(linear(inputs_NX, item_tower.hidden_weight, item_tower.hidden_bias))
    told_NX = linear(hidden_NE, item_tower.output_weight, item_tower.output_bias)
    own_ND = pooled_items + told_NX[:, :-1]
    last_N1 = np.log1p(recent)[:, None]
    return np.concatenate([own_ND, told_NX[:, -1:], last_N1], axis=1).astype(np.float32)
