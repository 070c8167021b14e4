"""Small trees answered for a few hundred rows at once; equal to LightGBM's to the bit.

A tree of a few leaves is a handful of comparisons. LightGBM walks from node to node, and most of
its time goes to guessing the next one wrong. Here each row is compared with all nodes; a node that
sends it right rules out the leaves to its left; the first leaf that is left is the row's.
Source: Lucchese et al. 2015, "QuickScorer".

Shape suffixes: R rows, F features, T trees, N nodes of a tree, L leaves,
C columns in use.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys import ranker_kernels as kernels
from recsys.lightgbm_alone import lgb

_MOST_LEAVES = 16
# So many rows at once: what is computed of them stays in the processor's cache.
_ROWS_AT_ONCE = 512
_MISSING_AS_ZERO, _MISSING_LEFT, _MISSING_RIGHT = 0.0, -np.inf, np.inf


@dataclass(frozen=True, kw_only=True)
class FlatTrees:
    """Trees as arrays; those with fewer nodes are filled up with such as send everything left.

    Attributes:
        feature_C: Feature of each distinct pair of one and what stands for its missing value.
        missing_C: What stands for it, float32.
        column_NT: Which of the columns a node compares, intp.
        threshold_NT: A row whose value is at most this goes left, float32: the greatest that is
            not above the model's, as values are float32, too.
        kept_NT: Bits of the leaves that remain where a row goes right, bit 0 the leftmost leaf.
        first_T: Where a tree's values start among all.
        place: Place of a tree's first remaining leaf by the bits that remain; empty where values
            are looked up by the bits themselves.
        values: Leaf values of all trees, float64.
    """

    feature_C: np.ndarray
    missing_C: np.ndarray
    column_NT: np.ndarray
    threshold_NT: np.ndarray
    kept_NT: np.ndarray
    first_T: np.ndarray
    place: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, booster: lgb.Booster) -> "FlatTrees | None":
        """Flatten a model; None where it has more than 16 leaves a tree, or splits of other kinds.

        Those are splits by category, and such as treat zero as missing.
        """
        trees = [_Tree.of(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
        if not trees or any(tree is None for tree in trees):
            return None
        flat = [tree for tree in trees if tree is not None]
        num_nodes = max(1, max(len(tree.nodes) for tree in flat))
        if num_nodes + 1 > _MOST_LEAVES:
            return None
        bits = np.uint8 if num_nodes < 8 else np.uint16
        columns = sorted({node.column for tree in flat for node in tree.nodes}) or [(0, 0.0)]
        shape = (num_nodes, len(flat))
        column_NT = np.zeros(shape, dtype=np.intp)
        threshold_NT = np.full(shape, np.inf, dtype=np.float32)
        kept_NT = np.full(shape, np.iinfo(bits).max, dtype=bits)
        for t, tree in enumerate(flat):
            for n, node in enumerate(tree.nodes):
                column_NT[n, t] = columns.index(node.column)
                threshold_NT[n, t] = _not_above(node.threshold)
                kept_NT[n, t] &= ~bits(node.left_leaves)
        all_bits = np.arange(np.iinfo(bits).max + 1)
        first_left = np.zeros(len(all_bits), dtype=np.intp)
        first_left[1:] = np.round(np.log2(all_bits[1:] & -all_bits[1:])).astype(np.intp)
        leaves_TL = np.zeros((len(flat), _MOST_LEAVES))
        for t, tree in enumerate(flat):
            leaves_TL[t, : len(tree.leaves)] = tree.leaves
        is_small = bits == np.uint8
        values = leaves_TL[:, first_left] if is_small else leaves_TL
        return cls(
            feature_C=np.array([feature for feature, _ in columns], dtype=np.intp),
            missing_C=np.array([missing for _, missing in columns], dtype=np.float32),
            column_NT=column_NT,
            threshold_NT=threshold_NT,
            kept_NT=kept_NT,
            first_T=np.arange(len(flat)) * values.shape[1],
            place=first_left[:0] if is_small else first_left,
            values=values.ravel(),
        )

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the raw scores of float32 rows (R, F), float64, shape (R,)."""
        if len(rows) <= _ROWS_AT_ONCE:
            return self._predict(rows)
        parts = [
            self._predict(rows[start : start + _ROWS_AT_ONCE])
            for start in range(0, len(rows), _ROWS_AT_ONCE)
        ]
        return np.concatenate(parts)

    def _predict(self, rows: np.ndarray) -> np.ndarray:
        return kernels.tree_scores(
            rows,
            self.feature_C,
            self.missing_C,
            self.column_NT,
            self.threshold_NT,
            self.kept_NT,
            self.first_T,
            self.place,
            self.values,
        )


@dataclass(frozen=True)
class _Node:
    column: tuple[int, float]
    threshold: float
    left_leaves: int


@dataclass(frozen=True)
class _Tree:
    nodes: list[_Node]
    leaves: list[float]

    @classmethod
    def of(cls, structure: dict[str, Any]) -> "_Tree | None":
        leaves: list[float] = []
        nodes: list[_Node] = []
        try:
            nodes.extend(_walk(structure, leaves))
        except _OtherKindError:
            return None
        return cls(nodes, leaves)


class _OtherKindError(Exception):
    """A split that is none of a number's size."""


def _walk(structure: dict[str, Any], leaves: list[float]) -> Iterator[_Node]:
    """Yield the nodes below one, and collect leaf values from left to right."""
    if "leaf_value" in structure:
        leaves.append(structure["leaf_value"])
        return
    missing = {
        ("None", False): _MISSING_AS_ZERO,
        ("None", True): _MISSING_AS_ZERO,
        ("NaN", True): _MISSING_LEFT,
        ("NaN", False): _MISSING_RIGHT,
    }.get((structure["missing_type"], structure["default_left"]))
    if structure["decision_type"] != "<=" or missing is None:
        raise _OtherKindError
    start = len(leaves)
    yield from _walk(structure["left_child"], leaves)
    left_leaves = (1 << len(leaves)) - (1 << start)
    yield _Node((structure["split_feature"], missing), structure["threshold"], left_leaves)
    yield from _walk(structure["right_child"], leaves)


def _not_above(threshold: float) -> np.float32:
    """Return the greatest float32 that is not above a threshold."""
    nearest = np.float32(np.clip(threshold, -np.finfo(np.float32).max, np.finfo(np.float32).max))
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))
