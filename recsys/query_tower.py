"""The trained query tower in NumPy, so that serving a request needs neither torch nor TorchRec.

Parity with `recsys.two_tower` is tested to 1e-5.

Shape suffixes: B users, D table width.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import erf

from recsys.history_weights import HistoryWeights
from recsys.interactions import Histories
from recsys.item_features import ItemFeatures
from recsys.two_tower_inputs import Bags, bag_sum, query_bags


@dataclass(frozen=True, kw_only=True)
class QueryTowerWeights:
    """Arrays of a trained query tower; matrices are (outputs, inputs) as torch keeps them."""

    item_table: np.ndarray
    category_table: np.ndarray
    brand_table: np.ndarray
    text_weight: np.ndarray
    text_bias: np.ndarray
    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    output_weight: np.ndarray
    output_bias: np.ndarray
    browsed_share: np.ndarray
    scale: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return name -> array, for saving."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class QueryTower:
    """Maps histories to query vectors (B, D + 1); the last dimension is the constant one."""

    weights: QueryTowerWeights
    features: ItemFeatures
    history: HistoryWeights
    max_history: int

    def vectors(self, bought: Histories, browsed: Histories) -> np.ndarray:
        """Return query vectors, float32, shape (B, D + 1)."""
        bags = query_bags(
            bought.last(self.max_history),
            browsed.last(self.max_history),
            self.history,
            self.features,
        )
        w = self.weights
        (bought_items, *bought_rest), (browsed_items, *browsed_rest) = map(self._pooled, bags)
        inputs = np.concatenate(
            [bought_items, *bought_rest, browsed_items, *browsed_rest, bags[0].dense], axis=1
        )
        hidden = _gelu(inputs @ w.hidden_weight.T + w.hidden_bias)
        items = bought_items + w.browsed_share * browsed_items
        query = (items + hidden @ w.output_weight.T + w.output_bias) * w.scale
        ones = np.ones((len(query), 1), dtype=np.float32)
        return np.concatenate([query, ones], axis=1).astype(np.float32)

    def _pooled(self, bags: Bags) -> list[np.ndarray]:
        """Return pooled items, categories and brands, then text, each (B, D)."""
        w = self.weights
        tables = (w.item_table, w.category_table, w.brand_table)
        pooled = [
            bag_sum(table, values, lengths, weights)
            for table, values, lengths, weights in zip(
                tables, bags.values, bags.lengths, bags.weights, strict=True
            )
        ]
        return [*pooled, bags.text @ w.text_weight.T + w.text_bias]


def _gelu(x: np.ndarray) -> np.ndarray:
    """Exact GELU, as torch computes it: x times the normal distribution function at x."""
    return 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))
