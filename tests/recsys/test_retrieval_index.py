from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from recsys.errors import BundleError
from recsys.retrieval_index import (
    IndexConfig,
    build_index,
    load_index,
    recall_at_100,
    save_index,
    search,
)

NUM_ITEMS, DIM = 600, 8
VECTORS = np.random.default_rng(0).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(7, DIM)).astype(np.float32)
ALLOWED = np.random.default_rng(2).random(NUM_ITEMS) < 0.3
# How the recall of approximate kinds is asked for here: one cell of eight finds little.
MIN_RECALL = {"Flat": 1.0, "HNSW32": 0.95, "IVF8,Flat": 0.2}


def exact(allowed: np.ndarray, depth: int) -> np.ndarray:
    scores = np.where(allowed, QUERIES @ VECTORS.T, -np.inf)
    return np.argsort(-scores, axis=1)[:, :depth]


@pytest.mark.parametrize("factory", MIN_RECALL)
def test_every_kind_finds_what_it_promises(factory: str) -> None:
    index = build_index(VECTORS, IndexConfig(factory=factory, min_recall=MIN_RECALL[factory]))
    assert index.ntotal == NUM_ITEMS
    assert recall_at_100(index, VECTORS) >= MIN_RECALL[factory]


def test_flat_search_is_exact() -> None:
    index = build_index(VECTORS, IndexConfig())
    values, found = search(index, QUERIES, 20, None)
    assert found.tolist() == exact(np.ones(NUM_ITEMS, dtype=bool), 20).tolist()
    np.testing.assert_allclose(values, np.take_along_axis(QUERIES @ VECTORS.T, found, 1), atol=1e-5)


@pytest.mark.parametrize("factory", MIN_RECALL)
@pytest.mark.parametrize("depth", [1, 20, NUM_ITEMS + 5])
def test_a_filtered_search_finds_allowed_items_only(factory: str, depth: int) -> None:
    index = build_index(VECTORS, IndexConfig(factory=factory, min_recall=MIN_RECALL[factory]))
    values, found = search(index, QUERIES, depth, ALLOWED)
    assert found.shape == values.shape == (len(QUERIES), min(depth, NUM_ITEMS))
    for row in found:
        real = row[row >= 0]
        assert ALLOWED[real].all()
        assert len(set(real.tolist())) == len(real)
        assert (row[len(real) :] == -1).all()


def test_a_filtered_flat_search_is_exact_and_padded() -> None:
    index = build_index(VECTORS, IndexConfig())
    _, found = search(index, QUERIES, NUM_ITEMS, ALLOWED)
    num_allowed = int(ALLOWED.sum())
    assert found[:, :num_allowed].tolist() == exact(ALLOWED, num_allowed).tolist()
    assert (found[:, num_allowed:] == -1).all()


@pytest.mark.parametrize("num_allowed", [0, 1, 9])
def test_few_allowed_items(num_allowed: int) -> None:
    allowed = np.arange(NUM_ITEMS) >= NUM_ITEMS - num_allowed
    _, found = search(build_index(VECTORS, IndexConfig()), QUERIES, 20, allowed)
    assert [set(row) - {-1} for row in found.tolist()] == [set(np.flatnonzero(allowed))] * 7


def test_too_little_recall_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"'IVF60,Flat' finds 0\.\d+ of the exact top 100, wanted 0.95"
    ):
        build_index(VECTORS, IndexConfig(factory="IVF60,Flat"))


def test_an_unknown_factory_is_refused() -> None:
    with pytest.raises(ValueError, match="FAISS does not know the index 'Round'"):
        build_index(VECTORS, IndexConfig(factory="Round"))


def test_a_small_catalogue_is_indexed() -> None:
    index = build_index(VECTORS[:3], IndexConfig())
    _, found = search(index, QUERIES[:1], 10, None)
    assert sorted(found[0].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("factory", MIN_RECALL)
def test_a_saved_index_answers_the_same(factory: str, tmp_path: Path) -> None:
    index = build_index(VECTORS, IndexConfig(factory=factory, min_recall=MIN_RECALL[factory]))
    save_index(index, tmp_path / "index.faiss")
    loaded = load_index(tmp_path / "index.faiss")
    assert isinstance(loaded, faiss.Index)
    for one, other in zip(
        search(index, QUERIES, 20, ALLOWED), search(loaded, QUERIES, 20, ALLOWED), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_file_that_is_no_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    path.write_bytes(b"not an index at all")
    with pytest.raises(BundleError, match=r"FAISS cannot read .*index\.faiss"):
        load_index(path)


@pytest.mark.parametrize("factory", ["IVF32,Flat", "HNSW8", "OPQ4,IVF16,Flat"])
def test_a_tuned_index_searches_as_little_as_the_recall_takes(factory: str) -> None:
    wanted = 0.9
    index = build_index(VECTORS, IndexConfig(factory=factory, min_recall=wanted, tune=True))
    graph: Any = faiss.downcast_index(index)
    cells: Any = faiss.try_extract_index_ivf(index)
    owner, name = (graph.hnsw, "efSearch") if cells is None else (cells, "nprobe")
    chosen = getattr(owner, name)
    assert chosen > 1
    assert recall_at_100(index, VECTORS) >= wanted
    setattr(owner, name, chosen // 2)
    assert recall_at_100(index, VECTORS) < wanted


def test_what_an_index_was_tuned_to_is_kept_with_it(tmp_path: Path) -> None:
    index = build_index(VECTORS, IndexConfig(factory="IVF32,Flat", min_recall=0.9, tune=True))
    save_index(index, tmp_path / "index")
    kept: Any = faiss.downcast_index(index)
    loaded: Any = faiss.downcast_index(load_index(tmp_path / "index"))
    assert loaded.nprobe == kept.nprobe > 1


def test_tuning_cannot_mend_an_index_that_loses_too_much() -> None:
    with pytest.raises(ValueError, match="finds 0"):
        build_index(VECTORS, IndexConfig(factory="IVF4,PQ2x4", tune=True))
