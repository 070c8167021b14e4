"""Items like an item, in a shop with an item that nobody has touched and one that says nothing."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tiny_shop import NUM_CATEGORIES, NUM_ITEMS, fit_tiny, tiny_shop

from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.recommender import Recommender
from recsys.retrieval_index import IndexConfig, build_index
from recsys.similar_items import WEIGHTS, SimilarItems

UNTOUCHED, SILENT = NUM_ITEMS, NUM_ITEMS + 1


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    tables = tiny_shop()
    new = tables.items.head(2).with_columns(
        item_id=pl.Series([f"i{UNTOUCHED}", f"i{SILENT}"]),
        categories=pl.Series([["all", "c1"], []]),
        brand=pl.Series(["b1", None], dtype=pl.String),
        price_cents=pl.Series([1600, None]),
    )
    fitted = fit_tiny(replace(tables, items=pl.concat([tables.items, new])))
    assert fitted.recommender is not None
    return fitted.recommender


@pytest.fixture(scope="module")
def items(recommender: Recommender) -> SimilarItems:
    return SimilarItems.of(recommender)


def category(item: int) -> int:
    return 1 if item == UNTOUCHED else item % NUM_CATEGORIES


def test_most_of_what_is_like_an_item_is_of_its_category(items: SimilarItems) -> None:
    alike = [
        category(found) == category(item)
        for item in range(NUM_ITEMS)
        for found in items.like(item, 4).item_idx.tolist()
    ]
    # Of 31 others six are; by chance it would be a fifth.
    assert len(alike) == 4 * NUM_ITEMS
    assert np.mean(alike) > 0.8


@pytest.mark.parametrize("k", [1, 5, 1000])
def test_an_item_is_never_like_itself_and_nothing_comes_twice(items: SimilarItems, k: int) -> None:
    for item in range(NUM_ITEMS + 2):
        found = items.like(item, k)
        assert len(found.item_idx) == len(found.score) == len(found.voices) <= k
        assert item not in found.item_idx
        assert len(set(found.item_idx.tolist())) == len(found.item_idx)


def test_scores_fall_within_0_and_1_and_tell_their_voices(items: SimilarItems) -> None:
    found = items.like(3, 20)
    assert 1 >= found.score[0] > found.score[-1] > 0
    assert (np.diff(found.score) <= 0).all()
    assert all(voices and set(voices) <= set(WEIGHTS) for voices in found.voices)
    # Whom more voices speak for is more alike, over all items.
    voices = [items.like(item, 20).voices for item in range(32)]
    assert sum(len(of[0]) for of in voices) > sum(len(of[-1]) for of in voices)


def test_what_every_voice_puts_first_has_all_votes(
    items: SimilarItems, recommender: Recommender
) -> None:
    allowed = np.zeros(len(recommender.items), dtype=bool)
    best = int(items.like(3, 1).item_idx[0])
    allowed[best] = True
    found = items.like(3, 5, allowed)
    assert found.item_idx.tolist() == [best]
    assert found.score[0] == pytest.approx(1.0)


def test_an_item_that_nobody_touched_has_words_and_attributes(items: SimilarItems) -> None:
    found = items.like(UNTOUCHED, 5)
    assert len(found.item_idx) == 5
    assert {voice for voices in found.voices for voice in voices} <= {"attributes", "taste"}
    assert [category(item) for item in found.item_idx.tolist()].count(1) >= 3
    # Of the same category and brand; others of the category are of another.
    assert found.item_idx[0] in (1, 16)


def test_an_item_of_which_nothing_is_known_does_not_fail(items: SimilarItems) -> None:
    found = items.like(SILENT, 10)
    assert {voice for voices in found.voices for voice in voices} <= {"taste"}


def test_only_what_is_allowed_is_found_and_still_enough_of_it(items: SimilarItems) -> None:
    allowed = np.zeros(NUM_ITEMS + 2, dtype=bool)
    allowed[[0, 7, 8, 13]] = True
    found = items.like(3, 4, allowed)
    assert set(found.item_idx.tolist()) <= {0, 7, 8, 13}
    assert set(found.item_idx[:2].tolist()) == {8, 13}
    nothing = items.like(3, 4, np.zeros(NUM_ITEMS + 2, dtype=bool))
    assert nothing.item_idx.tolist() == []
    assert allowed.sum() == 4


def test_text_neighbours_are_those_of_a_search_through_everything(
    recommender: Recommender,
) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((60, 64), dtype=np.float32)
    text = kinds[np.arange(3000) % 60] + rng.standard_normal((3000, 64), dtype=np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    text[17] = 0.0
    items = of_text(recommender, text)
    allowed = rng.random(3000) < 0.7
    recall = []
    for item in range(100, 140):
        cosine = np.where(allowed, text @ text[item], -np.inf)
        cosine[item] = -np.inf
        wanted = np.argsort(-cosine)[:20]
        found = items.like(item, 20, allowed).item_idx
        recall.append(np.isin(wanted, found).mean())
    assert np.mean(recall) > 0.9
    assert items.like(17, 5).item_idx.tolist() == []


def test_hidden_neighbours_do_not_hide_those_behind_them(recommender: Recommender) -> None:
    rng = np.random.default_rng(1)
    text = rng.standard_normal((2000, 64), dtype=np.float32) * 0.3
    text[:, 0] += np.linspace(2, -2, 2000)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    items = of_text(recommender, text)
    # All of the nearest are sold out; what is left is hundreds of places down.
    allowed = np.argsort(np.argsort(-(text @ text[0]))) >= 700
    assert len(items.like(0, 10, allowed).item_idx) == 10


def of_text(recommender: Recommender, text: np.ndarray) -> SimilarItems:
    """Items of which only texts are known."""
    num = len(text)
    vectors = np.zeros((num, 4), dtype=np.float32)
    features = ItemFeatures(
        dense=np.zeros((num, len(DENSE_COLUMNS)), dtype=np.float32),
        text=text,
        category_indptr=np.zeros(num + 1, dtype=np.int64),
        category_idx=np.zeros(0, dtype=np.int32),
        num_categories=1,
        brand_idx=np.zeros(num, dtype=np.int32),
        num_brands=1,
    )
    towers = replace(recommender.towers, item_vectors=vectors)
    index = build_index(vectors, IndexConfig(min_recall=0.0))
    bare = replace(recommender, text=text, features=features, towers=towers, index=index)
    return SimilarItems.of(replace(bare, sources=[]))
