"""What is shown: each wish by itself on small lists, and what must hold whatever is wished."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.interactions import Histories, IdMap
from recsys.item_features import ItemFeatures
from recsys.rerank import Experience, Shelf, complaints_of, kept_relevance, rerank
from recsys.rerank_config import RerankConfig, Rule

NOW = 1_000 * 86_400_000_000
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO, LATELY = 0, NOW - 86_400_000_000
NOTHING = Experience(bought=Histories.empty(1), now=NOW)
PLAIN = RerankConfig()


def shelf_of(num: int, **changes: np.ndarray) -> Shelf:
    plain = Shelf(
        brand_idx=np.zeros(num, dtype=np.int32),
        category=np.full(num, -1),
        vectors=np.eye(num, dtype=np.float32),
        drifting=np.zeros(num, dtype=bool),
        known_since=np.full(num, LONG_AGO),
        factor=np.ones(num),
        aspects=sp.csr_matrix((num, 0)),
    )
    return replace(plain, **changes)


def felt(items: list[int], sentiment: list[float], days_ago: float = 0.0) -> Experience:
    times = np.full(len(items), NOW - int(days_ago * 86_400e6))
    bought = Histories(
        indptr=np.array([0, len(items)]),
        item_idx=np.array(items, dtype=np.int32),
        event_time=times,
        sentiment=np.array(sentiment, dtype=np.float32),
    )
    return Experience(bought=bought, now=NOW)


def shown(
    shelf: Shelf, score: list[float], config: RerankConfig, who: Experience = NOTHING
) -> list:
    found = rerank(np.arange(len(score)), np.array(score), len(score), shelf, who, config)
    return found.item_idx.tolist()


def test_without_a_wish_the_order_is_the_rankers() -> None:
    found = rerank(np.array([4, 2, 0]), np.array([-1.0, 3.0, 0.5]), 2, shelf_of(5), NOTHING, PLAIN)
    assert found.item_idx.tolist() == [2, 0]
    assert found.relevance.tolist() == pytest.approx([1.0, 0.05 + 0.95 * 0.375])
    assert found.propensity.tolist() == [1.0, 1.0]


def test_a_bad_experience_counts_against_its_brand_and_wears_off() -> None:
    shelf = shelf_of(4, brand_idx=np.array([1, 2, 1, 1], dtype=np.int32))
    config = RerankConfig(suppress_brand=1.0, half_life_days=10)
    score = [1.0, 0.8, 0.0]
    assert shown(shelf, score, config) == [0, 1, 2]
    assert shown(shelf, score, config, felt([3], [-0.5])) == [1, 0, 2]
    assert shown(shelf, score, config, felt([3], [-0.5], days_ago=100)) == [0, 1, 2]
    assert shown(shelf, score, config, felt([3, 3], [-0.5, 0.9])) == [0, 1, 2], "praise makes up"
    assert shown(shelf, score, RerankConfig(suppress_brand=0), felt([3], [-1.0])) == [0, 1, 2]


def test_no_brand_is_no_brand_in_common() -> None:
    config = RerankConfig(suppress_brand=1.0)
    assert shown(shelf_of(4), [1.0, 0.8, 0.0], config, felt([3], [-1.0])) == [0, 1, 2]


def test_a_factor_moves_also_the_last_of_two() -> None:
    assert shown(shelf_of(2, factor=np.array([1.0, 30.0])), [1.0, 0.99], PLAIN) == [1, 0]
    assert shown(shelf_of(2, factor=np.array([0.01, 1.0])), [1.0, 0.99], PLAIN) == [1, 0]


def test_what_counts_against_an_item_never_makes_a_list_shorter() -> None:
    shelf = shelf_of(3, brand_idx=np.ones(3, dtype=np.int32), drifting=np.ones(3, dtype=bool))
    config = RerankConfig(suppress_brand=1.0, demote_drifting=1.0)
    assert shown(shelf, [1.0, 0.8, 0.0], config, felt([0], [-1.0])) == [0, 1, 2]


def test_requests_of_one_day_are_answered_alike() -> None:
    shelf = shelf_of(2, brand_idx=np.array([1, 1], dtype=np.int32))
    bought = felt([1], [-0.5], days_ago=2.4).bought
    day = NOW // 86_400_000_000 * 86_400_000_000
    config = RerankConfig(half_life_days=3)
    hours = [Experience(bought=bought, now=day + hour * 3_600_000_000) for hour in (0, 9, 23, 24)]
    kept = [kept_relevance(np.arange(2), shelf, hour, config)[0] for hour in hours]
    assert kept[0] == kept[1] == kept[2] < kept[3]


def test_what_was_complained_of_counts_where_others_find_it_too() -> None:
    aspects = sp.csr_matrix(np.array([[-0.8, 0.0], [0.5, -0.9], [0.0, 0.0]]))
    shelf = shelf_of(3, aspects=aspects)  # type: ignore[arg-type]
    config = RerankConfig(suppress_aspect=1.0)
    of_first = replace(NOTHING, complaints=np.array([1.0, 0.0]))
    of_second = replace(NOTHING, complaints=np.array([0.0, 1.0]))
    assert shown(shelf, [1.0, 0.9, 0.0], config, of_first) == [1, 0, 2]
    assert shown(shelf, [1.0, 0.9, 0.0], config, of_second) == [0, 1, 2]


def test_complaints_wear_off_and_are_bounded() -> None:
    found = complaints_of(
        np.array([0, 0, 2]), np.array([-0.9, -0.9, -0.8]), np.array([0.0, 0.0, 30.0]), 4, 30.0
    )
    assert found.tolist() == pytest.approx([1.0, 0.0, 0.4, 0.0])


def test_drifting_items_are_demoted() -> None:
    shelf = shelf_of(3, drifting=np.array([True, False, False]))
    assert shown(shelf, [1.0, 0.8, 0.0], PLAIN) == [0, 1, 2]
    assert shown(shelf, [1.0, 0.8, 0.0], RerankConfig(demote_drifting=0.5)) == [1, 0, 2]


def test_rules_boost_bury_and_take_out() -> None:
    profiles = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "brand": ["x", None, "y", "y"],
            "categories": [["k"], ["k", "l"], [], None],
            "age_days": [1.0, 50.0, None, 30.0],
            "as_of": [AS_OF] * 4,
            "polarity_drift": [0.0, -3.0, None, -1.0],
            **dict.fromkeys(
                (
                    "num_purchases",
                    "num_purchases_90d",
                    "num_views",
                    "num_reviews",
                    "stars_smoothed",
                    "polarity_smoothed",
                    "negative_share",
                    "return_rate",
                    "price_cents",
                ),
                0.0,
            ),
        }
    )
    items = IdMap.of(profiles["item_id"])
    features = ItemFeatures.from_profiles(profiles, np.zeros((4, 2)), items)
    rules = (
        Rule(factor=2.0, brands=("y",)),
        Rule(factor=0.0, item_ids=("d", "unknown")),
        Rule(factor=0.5, categories=("l", "unknown")),
    )
    shelf = Shelf.of(items, profiles, features, np.ones((4, 3)), rules=rules)
    assert shelf.factor.tolist() == [1.0, 0.5, 2.0, 0.0]
    now = int(AS_OF.timestamp() * 1e6)
    assert shelf.fresh(now, 30.0).tolist() == [True, False, False, True]
    assert shelf.fresh(now + 86_400_000_000, 30.0).tolist() == [True, False, False, False]
    assert not shelf.fresh(now - 60 * 86_400_000_000, 30.0).any(), "not known yet"
    assert shelf.drifting.tolist() == [False, True, False, False]
    names = [None if place < 0 else "kl"[place] for place in shelf.category]
    assert names == ["k", "l", None, None]
    assert np.linalg.norm(shelf.vectors, axis=1).tolist() == pytest.approx([1.0] * 4)
    assert shown(shelf, [0.5, 0.9, 0.4, 1.0], PLAIN) == [1, 0, 2]


def test_diversity_goes_from_relevance_to_unlikeness() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    shelf = shelf_of(3, vectors=vectors)
    score = [1.0, 0.9, 0.0]
    assert shown(shelf, score, RerankConfig(diversity=0.0)) == [0, 1, 2]
    assert shown(shelf, score, RerankConfig(diversity=0.4)) == [0, 1, 2]
    assert shown(shelf, score, RerankConfig(diversity=0.6)) == [0, 2, 1]
    assert shown(shelf, score, RerankConfig(diversity=1.0)) == [0, 2, 1]


def test_caps_are_kept_even_if_places_stay_empty() -> None:
    shelf = shelf_of(
        5,
        brand_idx=np.array([1, 1, 1, 0, 0], dtype=np.int32),
        category=np.array([0, 1, 2, 3, 3]),
    )
    score = [1.0, 0.9, 0.8, 0.7, 0.6]
    assert shown(shelf, score, RerankConfig(brand_cap=1)) == [0, 3, 4]
    assert shown(shelf, score, RerankConfig(brand_cap=2)) == [0, 1, 3, 4]
    assert shown(shelf, score, RerankConfig(brand_cap=2, category_cap=1)) == [0, 1, 3]


def test_propensities_are_those_of_the_draw() -> None:
    known_since = np.where([False, True, False, True, True, True], LATELY, LONG_AGO)
    shelf = shelf_of(6, known_since=known_since)
    config = RerankConfig(exploration=0.3)
    explorable = np.array([1, 4, 5, 2])
    score = np.array([1.0, 0.9, 0.5, 0.4])
    counts: dict[int, int] = {}
    told: dict[int, float] = {}
    num = 4000
    for seed in range(num):
        found = rerank(
            np.arange(4), score, 3, shelf, NOTHING, config, explorable=explorable, seed=seed
        )
        first = int(found.item_idx[0])
        counts[first] = counts.get(first, 0) + 1
        assert told.setdefault(first, float(found.propensity[0])) == found.propensity[0]
        assert len(set(found.item_idx.tolist())) == 3
        assert not set(found.item_idx.tolist()) & {2, 3} - {2}, "3 is fresh, and not explorable"
    assert set(counts) == {0, 1, 4, 5}
    assert sum(told.values()) == pytest.approx(1.0)
    for item, propensity in told.items():
        assert counts[item] / num == pytest.approx(propensity, abs=0.03)


def test_luck_ends_with_the_candidates_and_leaves_out_what_speaks_against_itself() -> None:
    brand = np.array([1, 1, 1, 2, 3], dtype=np.int32)
    shelf = shelf_of(5, brand_idx=brand, known_since=np.full(5, LATELY))
    config = RerankConfig(exploration=1.0)
    score, explorable = np.array([1.0, 0.5]), np.array([2, 3, 4])
    found = rerank(
        np.arange(2), score, 9, shelf, felt([0], [-1.0]), config, explorable=explorable, seed=1
    )
    assert set(found.item_idx[:2]) == {3, 4}
    assert found.item_idx[2:].tolist() == [0, 1]
    assert found.explored.tolist() == [True, True, False, False]
    assert found.propensity.tolist() == [0.5, 1.0, 1.0, 1.0]


def test_the_same_seed_shows_the_same() -> None:
    shelf = shelf_of(30, known_since=np.full(30, LATELY))
    config = RerankConfig(exploration=0.5)
    score = np.random.default_rng(0).random(30)
    lists = {
        tuple(rerank(np.arange(30), score, 10, shelf, NOTHING, config, seed=seed).item_idx)
        for seed in (7, 7, 8)
    }
    assert len(lists) == 2


def test_the_short_way_shows_what_the_long_one_does() -> None:
    rng = np.random.default_rng(0)
    score, never = rng.random(40), RerankConfig(brand_cap=99)
    who = felt([0, 1], [-0.5, 0.5])
    shelf = shelf_of(40, brand_idx=rng.integers(0, 5, 40).astype(np.int32))
    long = rerank(np.arange(40), score, 15, shelf, who, never)
    short = rerank(np.arange(40), score, 15, shelf, who, PLAIN)
    assert long.item_idx.tolist() == short.item_idx.tolist()
    assert long.relevance.tolist() == short.relevance.tolist()
    assert long.propensity.tolist() == short.propensity.tolist()


@pytest.mark.parametrize(
    "config", [PLAIN, RerankConfig(brand_cap=50), RerankConfig(diversity=1e-9)]
)
def test_what_is_shown_of_an_item_is_a_limit_that_keeps_it(config: RerankConfig) -> None:
    score, shelf = np.random.default_rng(0).normal(size=50), shelf_of(50)
    whole = rerank(np.arange(50), score, 50, shelf, NOTHING, config)
    told = whole.relevance.astype(np.float32)
    assert (told > whole.relevance).any(), "some are rounded up"
    for limit in told.tolist():
        kept = rerank(np.arange(50), score, 50, shelf, NOTHING, config, min_relevance=limit)
        assert set(kept.item_idx.tolist()) == set(whole.item_idx[told >= limit].tolist())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_wished_items_stand_once_and_caps_are_kept(
    data: st.DataObject,
) -> None:
    num = data.draw(st.integers(0, 15))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    shelf = shelf_of(
        max(num, 1) + 3,
        brand_idx=rng.integers(0, 4, max(num, 1) + 3).astype(np.int32),
        category=rng.integers(-1, 3, max(num, 1) + 3),
        known_since=np.where(rng.random(max(num, 1) + 3) < 0.4, LATELY, LONG_AGO),
        factor=rng.choice([0.0, 0.5, 1.0, 2.0], max(num, 1) + 3),
    )
    config = RerankConfig(
        diversity=data.draw(st.floats(0, 1)),
        brand_cap=data.draw(st.none() | st.integers(1, 3)),
        category_cap=data.draw(st.none() | st.integers(1, 3)),
        exploration=data.draw(st.floats(0, 1)),
    )
    k = data.draw(st.integers(1, 20))
    score = rng.normal(size=num)
    explorable = np.flatnonzero(rng.random(len(shelf.factor)) < 0.5)
    found = rerank(np.arange(num), score, k, shelf, NOTHING, config, explorable=explorable, seed=1)
    items = found.item_idx
    assert len(items) == len(set(items.tolist())) <= k
    assert (shelf.factor[items] > 0).all()
    assert ((found.propensity > 0) & (found.propensity <= 1 + 1e-9)).all()
    for key, cap, uncounted in (
        (shelf.brand_idx, config.brand_cap, 0),
        (shelf.category, config.category_cap, -1),
    ):
        counted = key[items][key[items] != uncounted]
        assert cap is None or not len(counted) or np.bincount(counted).max() <= cap
    if config.brand_cap is None and config.category_cap is None and not config.exploration:
        assert len(items) == min(k, int((shelf.factor[:num] > 0).sum()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"diversity": 1.1},
        {"exploration": -0.1},
        {"brand_cap": 0},
        {"half_life_days": 0.0},
        {"fresh_days": -1.0},
        {"suppress_brand": float("nan")},
    ],
)
def test_wishes_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RerankConfig(**wrong)  # type: ignore[arg-type]


def test_a_rule_about_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="names items"):
        Rule(factor=2.0)
    with pytest.raises(ValueError, match=r"within 0\.\.1e"):
        Rule(factor=float("inf"), brands=("x",))


def test_of_several_aspects_the_one_that_is_worst_in_both_decides() -> None:
    aspects = sp.csr_matrix(np.array([[-0.5, -1.0, 0.0], [-0.2, 0.9, 0.0], [0.0, 0.0, 0.0]]))
    shelf = shelf_of(3, aspects=aspects)  # type: ignore[arg-type]
    config = RerankConfig(suppress_aspect=0.5)
    complains = replace(NOTHING, complaints=np.array([1.0, 0.4, 0.0]))
    kept = kept_relevance(np.array([0, 1, 2, 0]), shelf, complains, config)
    assert kept.tolist() == pytest.approx([0.75, 0.9, 1.0, 0.75])
