"""An answer within its time, and with parts that fail: less, and said so; never nothing."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_shop import LiveShop, live_shop
from published_shop import Published

from recsys.recommender import Recommender
from recsys.sources import NeighbourSource, PopularSource, TwoTowerSource
from serving.ranking import FEATURES, RANK, RETRIEVE, Budget, StageCosts


def with_parts(shop: LiveShop, **parts: object) -> None:
    """Let a shop answer from models with other parts."""
    snapshot = shop.state.snapshot
    assert snapshot is not None
    recommender = replace(snapshot.recommender, **parts)
    deep = replace(snapshot.deep, **parts)
    shop.answer_from(replace(snapshot, recommender=recommender, deep=deep))


def buyer(published: Published) -> str:
    return published.buyer


def recommender_of(shop: LiveShop) -> Recommender:
    assert shop.state.snapshot is not None
    return shop.state.snapshot.recommender


def test_without_a_ranker_the_sources_decide(published_once: Published, tmp_path: Path) -> None:
    user = buyer(published_once)
    with live_shop(published_once.store, tmp_path) as shop:
        whole = shop.ask(user_id=user, k=50)
        # Its features are of another model: LightGBM refuses them.
        recommender = recommender_of(shop)
        features = replace(recommender.features, text=recommender.features.text[:, :3])
        with_parts(shop, features=features, text=recommender.text[:0])
        answered = shop.ask(user_id=user, k=50)
        page = shop.client.get("/metrics").text
    assert whole.degraded is None
    assert answered.degraded == "no_ranker"
    assert len(answered.items) == 50
    bought = published_once.tables["purchase_history"].filter(user_id=user)["item_id"]
    assert not {item.item_id for item in answered.items} & set(bought)
    assert 'sentirec_answers_total{degraded="no_ranker"} 1.0' in page


def test_without_an_index_tables_answer(published_once: Published, tmp_path: Path) -> None:
    user = buyer(published_once)
    with live_shop(published_once.store, tmp_path) as shop:
        sources = recommender_of(shop).sources
        (tower,) = [each for each in sources if isinstance(each, TwoTowerSource)]
        # An index over vectors of another width: FAISS refuses the query.
        import faiss

        broken = replace(tower, index=faiss.IndexFlatIP(3))
        others = [broken if each is tower else each for each in sources]
        with_parts(shop, sources=others)
        answered = shop.ask(user_id=user, k=20)
        filtered = shop.ask(user_id=user, k=5, filters={"brand": answered.items[0].brand})
    assert answered.degraded == "no_index"
    assert len(answered.items) == 20
    tables = {each.name for each in sources if isinstance(each, NeighbourSource | PopularSource)}
    assert {item.reason.source for item in answered.items if item.reason} <= tables
    assert {item.brand for item in filtered.items} == {answered.items[0].brand}


def test_an_answer_that_is_late_leaves_the_ranker_out(
    published_once: Published, tmp_path: Path
) -> None:
    user = buyer(published_once)
    costs = StageCosts()
    with live_shop(published_once.store, tmp_path, deadline_s=60.0, costs=costs) as shop:
        assert shop.ask(user_id=user, k=5).degraded is None
        for _ in range(200):
            # A ranker that takes an hour; finding candidates takes no time.
            costs.learn({FEATURES: 1.0, RANK: 3600.0})
        late = shop.ask(user_id=user, k=5)
        assert late.degraded == "deadline"
        assert len(late.items) == 5
        # What was slow once is tried again.
        told = [shop.ask(user_id=user, k=5).degraded for _ in range(200)]
        assert told[-1] is None


def test_the_time_in_front_of_the_server_counts(published_once: Published, tmp_path: Path) -> None:
    user = buyer(published_once)
    with live_shop(published_once.store, tmp_path, deadline_s=5.0) as shop:
        assert shop.ask(user_id=user, k=5).degraded is None
        arrived = int((time.time() - 9.0) * 1e6)
        shop.headers["X-Sentirec-Arrival-Us"] = str(arrived)
        waited = shop.ask(user_id=user, k=5)
        for nonsense in ("-1", "x", "9" * 30, str(int((time.time() + 60) * 1e6))):
            shop.headers["X-Sentirec-Arrival-Us"] = nonsense
            assert shop.ask(user_id=user, k=5).degraded is None
    assert waited.degraded == "deadline"
    assert len(waited.items) == 5


def test_debug_tells_what_the_list_was_made_of(published_once: Published, tmp_path: Path) -> None:
    user = buyer(published_once)
    with live_shop(published_once.store, tmp_path) as shop:
        plain = shop.ask(user_id=user, k=30)
        gone = [item.item_id for item in plain.items[:20]]
        filtered = shop.ask(user_id=user, k=9, debug=True, filters={"exclude_item_ids": gone})
        recommender = recommender_of(shop)
        features = replace(recommender.features, text=recommender.features.text[:, :3])
        with_parts(shop, features=features, text=recommender.text[:0])
        broken = shop.ask(user_id=user, k=5, debug=True)
    for item in filtered.items:
        assert item.debug is not None
        assert item.debug.ranker_score is not None
        assert item.debug.features
    assert broken.degraded == "no_ranker"
    for item in broken.items:
        assert item.debug is not None
        assert (item.debug.ranker_score, item.debug.features) == (None, {})
        assert any(voice.rank is not None for voice in item.debug.sources.values())


def test_costs_follow_what_stages_take() -> None:
    costs = StageCosts()
    assert costs.from_on(RETRIEVE) == 0.0
    for _ in range(100):
        costs.learn({RETRIEVE: 0.002, FEATURES: 0.003, RANK: 0.004})
    assert costs.from_on(RETRIEVE) == pytest.approx(0.009, rel=0.01)
    assert costs.from_on(RANK) == pytest.approx(0.004, rel=0.01)
    assert Budget(costs=costs).allows(RETRIEVE)
    assert Budget(seconds=0.5, costs=costs).allows(RETRIEVE)
    assert not Budget(seconds=0.005, costs=costs).allows(RETRIEVE)


def test_a_degraded_order_is_that_of_the_sources(published_once: Published, tmp_path: Path) -> None:
    with live_shop(published_once.store, tmp_path) as shop:
        snapshot = shop.state.snapshot
        assert snapshot is not None
        query = snapshot.query(buyer(published_once))
        assert query is not None
        late = Budget(seconds=100.0)
        late.costs.learn({RANK: 1e6})
        found = snapshot.recommend(query, 20, None, now=0, seed=0, budget=late)
    assert found.ranked.lacking == "deadline"
    candidates = found.ranked.candidates
    fused = np.where(candidates.item_idx[0] < 0, -np.inf, candidates.fused[0])
    np.testing.assert_array_equal(found.ranked.scores[0], fused)
