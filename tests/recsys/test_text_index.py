"""The index over texts against the whole catalogue."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.history_weights import HistoryWeights
from recsys.interactions import Histories
from recsys.query import Query
from recsys.retrieval_index import load_index, save_index
from recsys.sources import TextSource
from recsys.text_index import build_text_index

NUM_ITEMS, WIDTH, NUM_USERS = 8000, 128, 40


def texts(seed: int = 0) -> np.ndarray:
    """Unit vectors in clusters; one in ten items has no text."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(200, WIDTH))
    found = centres[rng.integers(0, 200, NUM_ITEMS)] + 0.7 * rng.normal(size=(NUM_ITEMS, WIDTH))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[rng.random(NUM_ITEMS) < 0.1] = 0.0
    return found.astype(np.float32)


def question(seed: int = 1) -> Query:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 6, NUM_USERS)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    items = np.concatenate([rng.choice(NUM_ITEMS, n, replace=False) for n in lengths])
    bought = Histories(
        indptr=indptr,
        item_idx=items.astype(np.int32),
        event_time=np.arange(len(items)),
        sentiment=np.full(len(items), np.nan, dtype=np.float32),
    )
    user = np.full((NUM_USERS, 8), np.nan, dtype=np.float32)
    return Query(bought=bought, browsed=Histories.empty(NUM_USERS), user=user)


VECTORS = texts()
EXACT = TextSource(name="text", vectors=VECTORS, weights=HistoryWeights())


@pytest.fixture(scope="module")
def indexed() -> TextSource:
    index = build_text_index(VECTORS, exact_items=1000)
    assert index is not None
    return replace(EXACT, index=index)


@pytest.mark.parametrize("allowed", [None, np.arange(NUM_ITEMS) % 3 == 0])
def test_the_index_finds_nearly_what_the_whole_catalogue_holds(
    indexed: TextSource, allowed: np.ndarray | None
) -> None:
    query = replace(question(), allowed=allowed)
    found, wanted = indexed.rank(query, 100), EXACT.rank(query, 100)
    hits, num = 0, 0
    for b in range(NUM_USERS):
        bought = query.bought.item_idx[query.bought.indptr[b] : query.bought.indptr[b + 1]]
        listed = found.item_idx[b][found.item_idx[b] >= 0]
        assert not np.isin(listed, bought).any()
        assert allowed is None or allowed[listed].all()
        best = wanted.item_idx[b][wanted.item_idx[b] >= 0]
        hits, num = hits + np.isin(best, listed).sum(), num + len(best)
    assert num > 500
    assert hits / num > 0.9


def test_scores_are_exact_and_in_order(indexed: TextSource) -> None:
    query = question()
    ranking = indexed.rank(query, 50)
    known = np.maximum(ranking.item_idx, 0)
    told, scores = ranking.score_of(known), indexed.score(query)
    assert told.dtype == np.float32
    for b in range(NUM_USERS):
        listed = ranking.item_idx[b] >= 0
        assert (np.diff(told[b, listed]) <= 0).all()
        if listed.any():
            exact = scores[b, known[b, listed]]
            scale = told[b, 0] / exact[0]
            np.testing.assert_allclose(told[b, listed], exact * scale, rtol=1e-4, atol=1e-5)


def test_who_bought_nothing_is_told_nothing(indexed: TextSource) -> None:
    assert (indexed.rank(Query.of_stranger(), 10).item_idx == -1).all()


def test_small_catalogues_and_those_without_texts_need_none() -> None:
    assert build_text_index(VECTORS) is not None
    assert build_text_index(VECTORS[:4000]) is None
    assert build_text_index(np.zeros_like(VECTORS)) is None


def test_an_index_is_read_as_it_was_written(indexed: TextSource, tmp_path: Path) -> None:
    assert indexed.index is not None
    save_index(indexed.index, tmp_path / "index.faiss")
    read = replace(indexed, index=load_index(tmp_path / "index.faiss"))
    query = question(2)
    np.testing.assert_array_equal(read.rank(query, 20).item_idx, indexed.rank(query, 20).item_idx)
