"""FAISS index over item vectors, by factory string, on CPU or GPU."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from recsys.errors import BundleError

# FAISS adds keyword constructors to its SWIG classes at run time, which no type checker sees.
_faiss: Any = faiss


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """How the index is built.

    Attributes:
        factory: FAISS factory string, such as `Flat`, `IVF1024,Flat`, `HNSW32`.
        min_recall: Recall@100 against exact search that the built index must reach, in [0, 1].
        gpu: Build on the first GPU when FAISS sees one; the stored index is a CPU index.
        tune: Set how much an index searches (`nprobe` of IVF, `efSearch` of HNSW) to the least
            power of two that reaches `min_recall`; kept with the index.
    """

    factory: str = "Flat"
    min_recall: float = 0.95
    gpu: bool = False
    tune: bool = False


def build_index(vectors: np.ndarray, config: IndexConfig) -> faiss.Index:
    """Return an inner-product index over all items, id = item index.

    Raises:
        ValueError: If the factory string is unknown, or recall@100 is below `min_recall`.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    index = _empty_index(vectors.shape[1], config)
    if _on_gpu(config):
        gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
        gpu.train(vectors)
        gpu.add(vectors)
        index = faiss.index_gpu_to_cpu(gpu)
    else:
        index.train(vectors)
        index.add(vectors)
    ensure_recall(index, vectors, config)
    return index


def trained_index(vectors: np.ndarray, config: IndexConfig) -> faiss.Index:
    """Return an inner-product index that was trained on vectors (N, D) and holds none of them.

    Raises:
        ValueError: If the factory string is unknown, or there are too few vectors to train on.
    """
    index = _empty_index(vectors.shape[1], config)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    try:
        if _on_gpu(config):
            gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
            gpu.train(vectors)
            index = faiss.index_gpu_to_cpu(gpu)
        else:
            index.train(vectors)
    except RuntimeError as error:
        raise ValueError(
            f"index {config.factory!r} cannot be trained on {len(vectors)} vectors: {error}"
        ) from error
    return index


def ensure_recall(index: faiss.Index, vectors: np.ndarray, config: IndexConfig) -> None:
    """Tune an index where that is asked for, and refuse one that finds too little.

    Args:
        index: Holds the vectors (N, D) under the ids 0 to N - 1.
        vectors: Those.
        config: What is wanted.

    Raises:
        ValueError: If recall@100 is below `min_recall`.
    """
    queries, best = exact_best(vectors)
    if config.tune:
        recall = _tune(index, queries, best, config.min_recall)
    else:
        recall = _recall(index, queries, best)
    if recall < config.min_recall:
        raise ValueError(
            f"index {config.factory!r} finds {recall:.3f} of the exact top 100, wanted "
            f"{config.min_recall}: choose another factory string or lower min_recall"
        )


def _on_gpu(config: IndexConfig) -> bool:
    return config.gpu and hasattr(faiss, "get_num_gpus") and faiss.get_num_gpus() > 0


def _empty_index(width: int, config: IndexConfig) -> Any:
    try:
        return faiss.index_factory(width, config.factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(f"FAISS does not know the index {config.factory!r}: {error}") from error


def recall_at_100(index: faiss.Index, vectors: np.ndarray, num_queries: int = 256) -> float:
    """Return the share of the exact 100 best that the index finds, over sampled item queries."""
    return _recall(index, *exact_best(vectors, num_queries))


def exact_best(vectors: np.ndarray, num_queries: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Return sampled vectors (Q, D) and the rows of their exact 100 best (Q, 100)."""
    rows = np.random.default_rng(0).choice(len(vectors), min(num_queries, len(vectors)), False)
    queries = np.ascontiguousarray(vectors[rows])
    k = min(100, len(vectors))
    _, best = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    return queries, best


def _recall(index: faiss.Index, queries: np.ndarray, best: np.ndarray) -> float:
    _, found = index.search(queries, best.shape[1])
    return share_found(found, best)


def share_found(found: np.ndarray, best: np.ndarray) -> float:
    """Return the share of the best (Q, K) that are among what was found (Q, L), in [0, 1]."""
    hits = [len(np.intersect1d(a, b)) for a, b in zip(best, found, strict=True)]
    return float(np.mean(hits) / best.shape[1])


def _tune(index: faiss.Index, queries: np.ndarray, best: np.ndarray, wanted: float) -> float:
    """Search more until the recall is reached or nothing is left to search; return the recall."""
    recall = _recall(index, queries, best)
    for name, most in (("nprobe", _num_cells(index)), ("efSearch", index.ntotal)):
        effort = 1
        while effort <= most:
            try:
                _faiss.ParameterSpace().set_index_parameter(index, name, effort)
            except RuntimeError:
                break  # An index of another kind has no such parameter.
            recall = _recall(index, queries, best)
            if recall >= wanted:
                return recall
            effort = min(2 * effort, most) if effort < most else most + 1
    return recall


def _num_cells(index: faiss.Index) -> int:
    """Return the cells of an IVF index, also behind a transform; 0 of other kinds."""
    inverted = _faiss.try_extract_index_ivf(index)
    return 0 if inverted is None else inverted.nlist


def search(
    index: faiss.Index, vectors: np.ndarray, depth: int, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best inner products and their item indices, each of shape (B, depth).

    Args:
        index: Built by `build_index`.
        vectors: Query vectors, float32, shape (B, D).
        depth: Items wanted a query; fewer real ones are padded with index -1.
        allowed: Which items may be found, bool, shape (I,); None allows all.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    depth = min(depth, index.ntotal)
    if allowed is None:
        return index.search(vectors, depth)
    selector = _faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    # Of a tenth of the items, ten times as many cells hold as many.
    wider = round(len(allowed) / max(1, np.count_nonzero(allowed)))
    return index.search(vectors, depth, params=search_parameters(index, selector, wider))


def search_parameters(index: faiss.Index, selector: Any, wider: int) -> Any:
    """Return the parameter class that this kind of index takes; others refuse the base class.

    Args:
        index: Searched with them.
        selector: Of the ids that may be found.
        wider: How many times as much to search, of kinds that search a part; at least 1.
    """
    inner = _faiss.downcast_index(index)
    if isinstance(inner, _faiss.IndexIVF):
        nprobe = min(inner.nlist, inner.nprobe * max(1, wider))
        return _faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)
    if isinstance(inner, _faiss.IndexHNSW):
        return _faiss.SearchParametersHNSW(sel=selector, efSearch=inner.hnsw.efSearch)
    return _faiss.SearchParameters(sel=selector)


def save_index(index: faiss.Index, path: Path) -> None:
    """Write the index to a file."""
    faiss.write_index(index, str(path))


def load_index(path: Path) -> faiss.Index:
    """Read an index written by `save_index`.

    Raises:
        BundleError: If the file is no FAISS index.
    """
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise BundleError(f"FAISS cannot read {path}: {error}") from error
