"""The trained query tower in NumPy, so that serving a request needs neither torch nor TorchRec.

Parity with `recsys.two_tower` is tested to 1e-5.

Shape suffixes: B users, D table width, H history rows, P inputs of attention, A width of attention.
"""

from dataclasses import dataclass, fields

import numpy as np

from recsys import history_kernels
from recsys.history_weights import HistoryWeights
from recsys.interactions import Histories
from recsys.item_features import ItemFeatures
from recsys.tower_kernels import gelu, linear
from recsys.two_tower_inputs import attended, query_features, query_shares


@dataclass(frozen=True, kw_only=True)
class QueryTowerWeights:
    """Arrays of a trained query tower; matrices are (outputs, inputs) as torch keeps them.

    `text_table` is what the tower's text layer makes of each item's text vector, less the bias:
    pooled first and mapped then it would be the same, and wider. The last three are of attention,
    empty where histories are pooled by their weights.
    """

    item_table: np.ndarray
    category_table: np.ndarray
    brand_table: np.ndarray
    text_table: np.ndarray
    text_bias: np.ndarray
    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    output_weight: np.ndarray
    output_bias: np.ndarray
    browsed_share: np.ndarray
    scale: np.ndarray
    recency: np.ndarray
    attention_weight: np.ndarray
    attention_bias: np.ndarray
    attention_output: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return name -> array, for saving."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class QueryTower:
    """Maps histories to query vectors (B, D + 2).

    The last two dimensions are the constant one, against an item's bias, and how much what is
    popular of late counts for the user.
    """

    weights: QueryTowerWeights
    features: ItemFeatures
    history: HistoryWeights
    max_history: int

    def vectors(self, bought: Histories, browsed: Histories) -> np.ndarray:
        """Return query vectors, float32, shape (B, D + 2)."""
        bought = bought.last(self.max_history)
        browsed, w = browsed.last(self.max_history), self.weights
        shares, looks = query_shares(bought, browsed, self.history)
        bought_items, *bought_rest = self._pooled(bought, shares)
        browsed_items, *browsed_rest = self._pooled(browsed, looks)
        if w.attention_weight.size:
            bought_items = self._attended(bought)
        inputs = np.concatenate(
            [
                bought_items,
                *bought_rest,
                browsed_items,
                *browsed_rest,
                query_features(bought, browsed),
            ],
            axis=1,
        )
        hidden = gelu(linear(inputs, w.hidden_weight, w.hidden_bias))
        items = bought_items + w.browsed_share * browsed_items
        told = linear(hidden, w.output_weight, w.output_bias)
        query = (items + told[:, :-1]) * w.scale
        vectors = np.ones((len(query), query.shape[1] + 2), dtype=np.float32)
        vectors[:, :-2] = query
        vectors[:, -1:] = told[:, -1:] + w.recency
        return vectors

    def _attended(self, bought: Histories) -> np.ndarray:
        """Return what was bought, pooled by attention, shape (B, D)."""
        w, rows = self.weights, attended(bought, self.history)
        items_HD = w.item_table[rows.item_idx]
        read_HX = np.concatenate([items_HD, rows.inputs], axis=1)
        logit_H = rows.log_weight + _attention_logits(read_HX, w)
        highest = np.full(len(bought), -np.inf, dtype=np.float32)
        np.maximum.at(highest, rows.row, logit_H)
        weight_H = np.exp(logit_H - highest[rows.row])
        share_H = weight_H / np.bincount(rows.row, weight_H, minlength=len(bought))[rows.row]
        pooled = bought.matrix(share_H.astype(np.float32), len(w.item_table)) @ w.item_table
        return np.asarray(pooled, dtype=np.float32)

    def _pooled(self, rows: Histories, weights: np.ndarray) -> list[np.ndarray]:
        """Return pooled items, categories and brands, then text, each (B, D)."""
        w, features = self.weights, self.features
        *pooled, text = history_kernels.pooled(
            rows.indptr,
            rows.item_idx,
            weights,
            features.category_indptr,
            features.category_idx,
            features.brand_idx,
            w.item_table,
            w.category_table,
            w.brand_table,
            w.text_table,
        )
        return [*pooled, text + w.text_bias]


def _attention_logits(read_HX: np.ndarray, w: QueryTowerWeights) -> np.ndarray:
    hidden_HA = np.tanh(linear(read_HX, w.attention_weight, w.attention_bias))
    none = np.zeros(len(w.attention_output), dtype=np.float32)
    return linear(hidden_HA, w.attention_output, none)[:, 0]
