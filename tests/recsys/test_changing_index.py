"""Items come and go: what is found is what exact search over the rest finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.changing_index import ChangingIndex
from recsys.retrieval_index import IndexConfig

DIM = 16
RNG = np.random.default_rng(0)
LOST = 0.02
"""How many of the exact 100 best may be missed more than by an index that is built anew."""
KINDS = {
    "Flat": IndexConfig(),
    "SQ8": IndexConfig(factory="SQ8", min_recall=0.99),
    "cells": IndexConfig(factory="IVF16,Flat", tune=True),
    "cells of less": IndexConfig(factory="PCA12,IVF16,Flat", min_recall=0.6, tune=True),
    "codes": IndexConfig(factory="PQ8x4", min_recall=0.8),
    "graph": IndexConfig(factory="HNSW32", tune=True),
}


def vectors_of(num: int, seed: int = 0) -> np.ndarray:
    """Vectors in clusters, as those of a two-tower lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(20, DIM))
    near = centres[rng.integers(0, 20, num)] + 0.7 * rng.normal(size=(num, DIM))
    return near.astype(np.float32)


def config(factory: str, min_recall: float = 0.0) -> IndexConfig:
    return IndexConfig(factory=factory, min_recall=min_recall)


def exact(index: dict[int, np.ndarray], queries: np.ndarray, depth: int) -> list[list[int]]:
    """The best items by exact products; of equals that with the lower id."""
    ids = np.array(sorted(index), dtype=np.int64)
    if not len(ids):
        return [[] for _ in queries]
    products = queries @ np.stack([index[item] for item in ids.tolist()]).T
    return [ids[np.argsort(-row, kind="stable")[:depth]].tolist() for row in products]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fifth_added_and_a_fifth_removed_cost_little_recall(kind: str) -> None:
    vectors, ids = vectors_of(1800), 7 * np.arange(1800) + 5
    index = ChangingIndex(ids[:1500], vectors[:1500], KINDS[kind])
    index.add(ids[1500:], vectors[1500:])
    left = np.sort(np.random.default_rng(1).permutation(1800)[:1500])
    index.remove(np.setdiff1d(ids, ids[left]))
    assert len(index) == 1500
    anew = ChangingIndex(ids[left], vectors[left], KINDS[kind])
    changed = index.check_recall(ids[left], vectors[left], 0.0)
    built = anew.check_recall(ids[left], vectors[left], 0.0)
    assert changed >= built - (0.0 if kind == "Flat" else LOST)
    _, found = index.search(vectors[:200], 100)
    assert set(np.unique(found)) <= {-1, *ids[left].tolist()}
    assert index.share_gone == (pytest.approx(1 / 6) if kind == "graph" else 0.0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove"]), st.sets(st.integers(0, 30), min_size=1)),
    max_size=8,
)


@pytest.mark.parametrize("factory", ["Flat", "IVF1,Flat"])
@settings(max_examples=60, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_any_changes_answer_what_exact_search_over_the_rest_does(
    factory: str, steps: list[tuple[str, set[int]]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    there: dict[int, np.ndarray] = {}
    ids = np.arange(100, 110)
    first = rng.normal(size=(10, DIM)).astype(np.float32)
    there.update(zip(ids.tolist(), first, strict=True))
    index = ChangingIndex(ids, first, config(factory))
    queries = rng.normal(size=(3, DIM)).astype(np.float32)
    for what, items in steps:
        named = [item for item in sorted(items) if (item in there) == (what == "remove")]
        if what == "add":
            added = rng.normal(size=(len(named), DIM)).astype(np.float32)
            index.add(np.array(named, dtype=np.int64), added)
            there.update(zip(named, added, strict=True))
        else:
            index.remove(np.array(named, dtype=np.int64))
            for item in named:
                del there[item]
        assert len(index) == len(there)
        assert all(item in index for item in there)
        values, found = index.search(queries, 12)
        wanted = exact(there, queries, 12)
        for row, best, value, query in zip(found.tolist(), wanted, values, queries, strict=True):
            assert row == best + [-1] * (12 - len(best))
            products = [float(query @ there[item]) for item in best]
            np.testing.assert_allclose(value[: len(best)], products, rtol=1e-4, atol=1e-5)


def test_a_graph_passes_over_what_is_gone_even_if_hardly_anything_is_left() -> None:
    vectors, ids = vectors_of(1000), np.arange(1000)
    index = ChangingIndex(ids, vectors, KINDS["graph"])
    index.remove(ids[10:])
    assert index.share_gone == pytest.approx(0.99)
    _, found = index.search(vectors[:5], 20)
    assert all(set(row) == {*range(10), -1} for row in found.tolist())
    index.remove(ids[:10])
    assert len(index) == 0
    assert (index.search(vectors[:5], 3)[1] == -1).all()
    index.add(np.array([4]), vectors[:1])
    assert index.search(vectors[:1], 3)[1].tolist() == [[4, -1, -1]]


def test_an_item_that_comes_back_has_its_new_vector() -> None:
    vectors, ids = vectors_of(50), np.arange(50)
    for factory in ("Flat", "HNSW16", "IVF2,Flat"):
        index = ChangingIndex(ids, vectors, config(factory))
        index.remove(np.array([3]))
        index.add(np.array([3]), 100 * vectors[7:8])
        values, found = index.search(vectors[7:8], 1)
        assert found.tolist() == [[3]]
        assert values[0, 0] == pytest.approx(100 * vectors[7] @ vectors[7], rel=1e-4)


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        ([1, 2], vectors_of(2), r"2 items are in the index already, such as 1"),
        ([60, 60], vectors_of(2), "named twice"),
        ([-1, 60], vectors_of(2), "must not be below 0, as -1"),
        ([60, 61], vectors_of(3), r"want vectors of shape \(2, 16\), not \(3, 16\)"),
        ([60], vectors_of(1) * np.nan, "vectors must be numbers"),
    ],
)
def test_what_cannot_be_added_is_refused_and_changes_nothing(
    ids: list[int], vectors: np.ndarray, message: str
) -> None:
    index = ChangingIndex(np.arange(50), vectors_of(50), config("Flat"))
    with pytest.raises(ValueError, match=message):
        index.add(np.array(ids), vectors)
    assert len(index) == 50
    index.check_recall(np.arange(50), vectors_of(50), 1.0)


@pytest.mark.parametrize(
    ("ids", "message"), [([1, 77], "1 items are not in the index, such as 77"), ([1, 1], "twice")]
)
def test_what_cannot_be_removed_is_refused_and_changes_nothing(
    ids: list[int], message: str
) -> None:
    index = ChangingIndex(np.arange(50), vectors_of(50), KINDS["graph"])
    with pytest.raises(ValueError, match=message):
        index.remove(np.array(ids))
    assert len(index) == 50
    assert 1 in index.search(vectors_of(50), 1)[1]


def test_kinds_that_cannot_change_say_so() -> None:
    refined = ChangingIndex(np.arange(500), vectors_of(500), config("IVF4,PQ8x4fs,RFlat"))
    with pytest.raises(ValueError, match="can neither forget a vector nor pass it over"):
        refined.remove(np.array([3]))
    graph = ChangingIndex(np.arange(500), vectors_of(500), config("NSG16"))
    with pytest.raises(ValueError, match="takes nothing in once it is built"):
        graph.add(np.array([700]), vectors_of(1))
    assert 700 not in graph
    assert len(graph) == 500


def test_recall_is_held_at_the_start_and_asked_for_later() -> None:
    vectors, ids = vectors_of(2000), np.arange(2000)
    with pytest.raises(ValueError, match=r"'IVF64,Flat' finds 0\.\d+ of the exact top 100"):
        ChangingIndex(ids, vectors, config("IVF64,Flat", 0.95))
    tuned = IndexConfig(factory="IVF64,Flat", tune=True)
    index = ChangingIndex(ids, vectors, tuned)
    assert index.check_recall(ids, vectors, 0.95) >= 0.95
    # What comes is unlike what the cells were made for.
    index.remove(ids[:1900])
    moved = 10 + vectors_of(1900, seed=3)
    index.add(ids[:1900], moved)
    now = np.concatenate([moved, vectors[1900:]])
    with pytest.raises(ValueError, match="build it anew"):
        index.check_recall(ids, now, 1.01)
    with pytest.raises(ValueError, match="over all items that are in the index, no others"):
        index.check_recall(ids[:10], now[:10], 0.5)


def test_an_index_may_begin_empty_where_nothing_is_trained() -> None:
    index = ChangingIndex(np.zeros(0, dtype=np.int64), np.zeros((0, DIM)), config("Flat"))
    assert len(index) == 0
    assert (index.search(vectors_of(2), 3)[1] == -1).all()
    assert index.check_recall(np.zeros(0), np.zeros((0, DIM)), 1.0) == 1.0
    index.add(np.array([8]), vectors_of(1))
    assert index.search(vectors_of(1), 1)[1].tolist() == [[8]]
    with pytest.raises(ValueError, match="cannot be trained on 0 vectors"):
        ChangingIndex(np.zeros(0, dtype=np.int64), np.zeros((0, DIM)), config("IVF4,Flat"))
