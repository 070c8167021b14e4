from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_shop import FittedShop, random_interactions

from recsys.recency import PopularityOverTime, recent_popularity
from recsys.retrieval import RecommenderConfig, popular_in_categories

DAY_US = 86_400_000_000


def spread_out(seed: int):
    """Purchases over about a year."""
    once = random_interactions(seed)
    days = np.random.default_rng(seed).integers(0, 365, len(once))
    return replace(once, event_time=days.astype(np.int64) * DAY_US + 7)


@given(st.integers(0, 30), st.integers(1, 40), st.floats(5.0, 90.0))
def test_each_period_knows_what_was_bought_before_its_start(
    seed: int, num_periods: int, half_life_days: float
) -> None:
    bought = spread_out(seed)
    found = PopularityOverTime.of(bought, half_life_days, num_periods=num_periods)
    assert len(found.starts) == num_periods
    for start, log_recent in zip(found.starts, found.log_recent, strict=True):
        wanted = np.zeros(bought.num_items)
        for item, time in zip(bought.item_idx, bought.event_time, strict=True):
            if time < start:
                wanted[item] += 0.5 ** ((start - time) / DAY_US / half_life_days)
        np.testing.assert_allclose(np.expm1(log_recent), wanted, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 30), st.integers(0, 400))
def test_a_moment_is_told_nothing_of_itself_or_later(seed: int, day: int) -> None:
    bought = spread_out(seed)
    moment = np.array([day * DAY_US + 7])
    found = PopularityOverTime.of(bought, num_periods=20)
    later = bought.event_time >= moment[0]
    changed = replace(bought, item_idx=np.where(later, 0, bought.item_idx).astype(np.int32))
    again = PopularityOverTime.of(changed, num_periods=20)
    items = np.arange(bought.num_items)
    np.testing.assert_array_equal(found.before(moment, items), again.before(moment, items))


def test_before_everything_nothing_is_popular() -> None:
    found = PopularityOverTime.of(spread_out(1), num_periods=5)
    assert not found.before(np.array([-1, 0]), np.arange(12)).any()


def test_one_moment_for_all_purchases_is_no_error() -> None:
    bought = spread_out(2)
    at_once = replace(bought, event_time=np.full(len(bought), 5, dtype=np.int64))
    found = PopularityOverTime.of(at_once, num_periods=4)
    assert not found.before(np.array([5]), np.arange(12)).any()
    np.testing.assert_array_equal(
        recent_popularity(at_once), np.bincount(at_once.item_idx, minlength=12)
    )


def test_what_is_popular_in_a_category_is_its_share_of_recent_purchases(shop: FittedShop) -> None:
    world = shop.world
    source = popular_in_categories(world, RecommenderConfig())
    recent = recent_popularity(world.population.bought)
    features = world.features
    members = [
        features.category_idx[features.category_indptr[item] : features.category_indptr[item + 1]]
        for item in range(len(features))
    ]
    for category in range(features.num_categories):
        inside = np.array([category in found for found in members])
        wanted = np.where(inside, recent, 0.0) / max(recent[inside].sum(), 1e-9)
        np.testing.assert_allclose(source.popular.toarray()[category], wanted, atol=1e-6)
    told = source.categories.toarray()
    np.testing.assert_allclose(told.sum(1), 1.0, rtol=1e-5)
    rarity = features.category_rarity
    first = members[0]
    assert told[0, first] == pytest.approx(
        np.maximum(rarity[first], 1e-6) / np.maximum(rarity[first], 1e-6).sum(), rel=1e-4
    )
