"""A FAISS index over text vectors, for catalogues too large to be looked at whole in a request.

Texts are hundreds wide: codes of half a byte for four dimensions are scanned in a few cells, and
what is found is told anew by exact products. Small catalogues need none.
"""

from typing import Any

import faiss
import numpy as np

EXACT_ITEMS = 5000
"""Catalogues up to this size are looked at whole."""
MIN_RECALL = 0.95
"""Share of the exact 100 best that must be among the 400 found."""
DEPTH = 400
_NEAREST = 100
_NUM_TASTES, _MOST_TEXTS = 255, 5
_MANY_ITEMS = 500_000
_CELLS, _MANY_CELLS = 512, 2048
_TRAINING_ROWS = 131_072
# FAISS adds methods to its SWIG classes at run time, which no type checker sees.
_faiss: Any = faiss


def build_text_index(vectors: np.ndarray, exact_items: int = EXACT_ITEMS) -> faiss.Index | None:
    """Return an inner-product index over text vectors, id = item index.

    It searches as few cells as reach `MIN_RECALL` for the tastes of users who bought one to five
    items of any kind, all of them where none do.

    Args:
        vectors: Unit vectors, zero where an item has no text, float32, shape (I, D).
        exact_items: Catalogues up to this size, or with fewer texts, get none.

    Returns:
        The index; None where exact products are as quick.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    with_text = np.flatnonzero(vectors.any(1))
    if len(with_text) <= exact_items:
        return None
    width = vectors.shape[1]
    cells = _MANY_CELLS if len(with_text) > _MANY_ITEMS else _CELLS
    cells = min(cells, len(with_text) // 40)
    codes = f"PQ{width // 4}x4fs" if width % 4 == 0 else "SQ8"
    index = faiss.index_factory(width, f"IVF{cells},{codes}", faiss.METRIC_INNER_PRODUCT)
    num_rows = min(_TRAINING_ROWS, len(with_text))
    index.train(vectors[np.random.default_rng(0).choice(with_text, num_rows, replace=False)])
    index.add(vectors)
    queries = _tastes(vectors, with_text)
    _, best = faiss.knn(queries, vectors, _NEAREST, metric=faiss.METRIC_INNER_PRODUCT)
    probed = 1
    while True:
        _faiss.ParameterSpace().set_index_parameter(index, "nprobe", probed)
        if probed >= cells or _recall(index, queries, best) >= MIN_RECALL:
            return index
        probed = min(2 * probed, cells)


def _tastes(vectors: np.ndarray, with_text: np.ndarray) -> np.ndarray:
    """Return fading sums of one to five texts, as users have who bought unlike things, (Q, D)."""
    items = np.random.default_rng(1).choice(with_text, (_NUM_TASTES, _MOST_TEXTS))
    fading = 0.8 ** np.arange(_MOST_TEXTS, dtype=np.float32)
    has = np.arange(_MOST_TEXTS) <= np.arange(_NUM_TASTES)[:, None] % _MOST_TEXTS
    return np.einsum("qt,qtd->qd", has * fading, vectors[items], dtype=np.float32)


def _recall(index: faiss.Index, queries: np.ndarray, best: np.ndarray) -> float:
    _, found = index.search(queries, min(DEPTH, index.ntotal))
    hits = [len(np.intersect1d(a, b)) for a, b in zip(best, found, strict=True)]
    return float(np.mean(hits) / best.shape[1])
