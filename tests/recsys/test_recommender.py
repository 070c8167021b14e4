import dataclasses

import numpy as np
import pytest
from tiny_shop import FittedShop

from recsys.query import Query
from recsys.recommender import FRESH, Recommender, Reranking
from recsys.rerank_config import RerankConfig, Rule
from recsys.world import World


@pytest.fixture(name="recommender")
def of_shop(shop: FittedShop) -> Recommender:
    assert shop.fitted.recommender is not None
    return shop.fitted.recommender


@pytest.fixture(name="world")
def world_of_shop(shop: FittedShop) -> World:
    assert shop.fitted.world is not None
    return shop.fitted.world


@pytest.mark.parametrize("k", [1, 5, 1000])
def test_a_user_is_offered_new_allowed_items_best_first(
    recommender: Recommender, world: World, k: int
) -> None:
    allowed = np.arange(len(recommender.items)) % 3 != 0
    for user in range(0, 80, 8):
        query = world.population.query(np.array([user]), allowed)
        found = recommender.recommend(query, k)
        assert 0 < len(found.item_idx) <= k
        assert len(set(found.item_idx.tolist())) == len(found.item_idx)
        assert allowed[found.item_idx].all()
        assert not np.isin(found.item_idx, query.bought.item_idx).any()
        assert (np.diff(found.score) <= 0).all()
        assert len(found.source) == len(found.because) == len(found.item_idx)
        liked = query.bought.item_idx[~(query.bought.sentiment < 0)]
        assert np.isin(found.because, [-1, *liked]).all()


def test_fewer_than_asked_are_the_best_of_more(recommender: Recommender, world: World) -> None:
    query = world.population.query(np.array([4]))
    few, many = recommender.recommend(query, 3), recommender.recommend(query, 10)
    assert few.item_idx.tolist() == many.item_idx[:3].tolist()


def test_a_stranger_is_offered_something_without_a_reason(recommender: Recommender) -> None:
    found = recommender.recommend(Query.of_stranger(), 5)
    assert len(found.item_idx) == 5
    assert found.because.tolist() == [-1] * 5


def test_nothing_allowed_is_an_empty_answer(recommender: Recommender, world: World) -> None:
    nothing = np.zeros(len(recommender.items), dtype=bool)
    found = recommender.recommend(world.population.query(np.array([0]), nothing), 5)
    assert len(found.item_idx) == len(found.source) == len(found.because) == 0


def test_one_user_is_ranked_as_in_a_batch(recommender: Recommender, world: World) -> None:
    users = np.arange(6)
    candidates, scores = recommender.rank(world.population.query(users))
    for b, user in enumerate(users):
        alone, alone_scores = recommender.rank(world.population.query(np.array([user])))
        assert alone.item_idx[0].tolist() == candidates.item_idx[b].tolist()
        np.testing.assert_allclose(alone_scores[0], scores[b], atol=1e-4)


def test_disliked_items_explain_nothing(recommender: Recommender, world: World) -> None:
    bought = world.population.bought
    hater = int(np.bincount(bought.user_idx, bought.sentiment < 0).argmax())
    query = world.population.query(np.array([hater]))
    disliked = query.bought.item_idx[query.bought.sentiment < 0]
    assert len(disliked)
    assert not np.isin(recommender.recommend(query, 10).because, disliked).any()


@pytest.mark.parametrize(
    ("users", "k", "message"),
    [([0, 1], 5, "one user at a time, not 2"), ([0], 0, "k must be at least 1, not 0")],
)
def test_a_question_out_of_range_is_refused(
    recommender: Recommender, world: World, users: list[int], k: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        recommender.recommend(world.population.query(np.array(users)), k)


def test_rearranged_lists_tell_scores_sources_and_propensities(
    recommender: Recommender, world: World
) -> None:
    query = world.population.query(np.array([3]))
    plain = recommender.recommend(query, 10)
    config = RerankConfig(suppress_brand=0)
    reranking = Reranking(config=config, shelf=recommender.shelf(), now=0)
    same = recommender.recommend(query, 10, reranking)
    assert same.item_idx.tolist() == plain.item_idx.tolist()
    assert same.source == plain.source
    assert same.because.tolist() == plain.because.tolist()
    assert same.score.tolist() == sorted(same.score.tolist(), reverse=True)
    assert same.propensity.tolist() == [1.0] * len(same.item_idx)


def test_a_rule_takes_out_what_would_be_shown(recommender: Recommender, world: World) -> None:
    query = world.population.query(np.array([3]))
    first = recommender.recommend(query, 1).item_idx[0]
    out = Rule(factor=0.0, item_ids=(str(recommender.items.ids[first]),))
    reranking = Reranking(config=RerankConfig(), shelf=recommender.shelf([out]), now=0)
    assert first not in recommender.recommend(query, 20, reranking).item_idx


def test_explored_items_are_allowed_and_new_to_the_user(
    recommender: Recommender, world: World
) -> None:
    since = np.zeros(len(recommender.items), dtype=np.int64)
    shelf = dataclasses.replace(recommender.shelf(), known_since=since)
    allowed = np.arange(len(since)) % 2 == 0
    query = world.population.query(np.array([3]), allowed)
    config = RerankConfig(exploration=1.0)
    reranking = Reranking(config=config, shelf=shelf, now=0, seed=4)
    found = recommender.recommend(query, 5, reranking)
    num = len(np.setdiff1d(np.flatnonzero(allowed), query.bought.item_idx))
    assert found.propensity.tolist() == pytest.approx([1 / (num - place) for place in range(5)])
    assert allowed[found.item_idx].all()
    assert not np.isin(found.item_idx, query.bought.item_idx).any()
    again = recommender.recommend(query, 5, reranking)
    assert again.item_idx.tolist() == found.item_idx.tolist()


def test_what_is_explored_says_so(recommender: Recommender) -> None:
    since = np.zeros(len(recommender.items), dtype=np.int64)
    shelf = dataclasses.replace(recommender.shelf(), known_since=since)
    config = RerankConfig(exploration=0.5)
    found = recommender.recommend(
        Query.of_stranger(), 12, Reranking(config=config, shelf=shelf, now=0, seed=3)
    )
    assert {FRESH} < set(found.source)
