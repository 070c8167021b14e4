from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_shop import FittedShop, random_interactions, walking_interactions

from recsys.bought_together import LEAST_BUYERS, BoughtTogether
from recsys.history_weights import HistoryWeights
from recsys.interactions import Interactions
from recsys.item_similarity import co_visitation, transitions
from recsys.recommender import Recommender
from recsys.sources import NeighbourSource


def together(recommender: Recommender, bought: Interactions) -> BoughtTogether:
    """Of a bundle whose tables were learned from just these purchases."""
    many = bought.num_items
    tables = {
        "item_to_item": co_visitation(bought, shrinkage=1.0, max_neighbours=many),
        "next_item": transitions(
            bought, max_gap=5, backward=0.5, shrinkage=1.0, max_neighbours=many
        ),
    }
    sources = [
        NeighbourSource(name=name, table=table, weights=HistoryWeights())
        for name, table in tables.items()
    ]
    return BoughtTogether.of(replace(recommender, sources=sources), bought)


@pytest.fixture(scope="module")
def recommender(shop: FittedShop) -> Recommender:
    assert shop.fitted.recommender is not None
    return shop.fitted.recommender


def buyers(bought: Interactions, item: int) -> set[int]:
    return set(bought.user_idx[bought.item_idx == item].tolist())


@given(seed=st.integers(0, 50), item=st.integers(0, 11))
def test_figures_are_those_of_a_count_by_hand(
    recommender: Recommender, seed: int, item: int
) -> None:
    bought = random_interactions(seed, num_users=60)
    found = together(recommender, bought).with_item(item, 20)
    own, everybody = buyers(bought, item), set(bought.user_idx.tolist())
    wanted = {}
    for other in set(range(12)) - {item}:
        both, theirs = own & buyers(bought, other), buyers(bought, other)
        if len(both) >= LEAST_BUYERS:
            lift = len(both) * len(everybody) / (len(own) * len(theirs))
            if lift > 1:
                wanted[other] = (len(both), len(both) / len(own), lift)
    figures = zip(found.num_buyers.tolist(), found.share.tolist(), found.lift.tolist(), strict=True)
    told = dict(zip(found.item_idx.tolist(), figures, strict=True))
    assert told.keys() == wanted.keys()
    for other, values in told.items():
        assert values == pytest.approx(wanted[other])
    assert (np.diff(found.strength) <= 0).all()
    assert ((found.strength > 0) & (found.strength <= 1)).all()


def test_what_follows_an_item_is_stronger_than_what_came_before_it(
    recommender: Recommender,
) -> None:
    found = together(recommender, walking_interactions()).with_item(4, 5)
    assert found.item_idx[0] == 5
    places = found.item_idx.tolist()
    assert places.index(5) < places.index(3)


def test_what_only_one_bought_with_it_is_not_told(recommender: Recommender) -> None:
    bought = random_interactions(0)
    alone = bought.keep(np.isin(bought.user_idx, bought.user_idx[:1]))
    for item in range(12):
        assert together(recommender, alone).with_item(item, 20).item_idx.tolist() == []


def test_what_everybody_buys_goes_with_nothing_in_particular(recommender: Recommender) -> None:
    rows = [(user, 0) for user in range(40)]
    rows += [(user, 1 + user % 2) for user in range(40)]
    rows += [(user, 3) for user in range(0, 20, 2)]
    user, item = np.array(sorted(rows), dtype=np.int32).T
    times = np.arange(len(user), dtype=np.int64)
    nothing = np.full(len(user), np.nan, dtype=np.float32)
    bought = Interactions(
        num_users=40,
        num_items=5,
        user_idx=user,
        item_idx=item,
        event_time=times,
        session_start=times,
        sentiment=nothing,
        stars=nothing,
    )
    found = together(recommender, bought)
    assert found.with_item(1, 5).item_idx.tolist() == [3]
    assert found.with_item(1, 5).lift.tolist() == [2.0]
    assert found.with_item(0, 5).item_idx.tolist() == []
    assert found.with_item(4, 5).item_idx.tolist() == []


def test_only_what_is_allowed_is_found(recommender: Recommender) -> None:
    known = together(recommender, walking_interactions())
    every = known.with_item(4, 20).item_idx.tolist()
    allowed = np.ones(12, dtype=bool)
    allowed[every[0]] = False
    assert known.with_item(4, 20, allowed).item_idx.tolist() == every[1:]
    assert known.with_item(4, 2).item_idx.tolist() == every[:2]


def test_a_bundle_without_such_tables_knows_nothing(recommender: Recommender) -> None:
    bare = BoughtTogether.of(replace(recommender, sources=[]), random_interactions(0))
    assert bare.with_item(3, 5).item_idx.tolist() == []


def test_the_bundle_of_a_shop_knows_what_goes_together(
    shop: FittedShop, recommender: Recommender
) -> None:
    bought = shop.world.population.bought
    known = BoughtTogether.of(recommender, bought)
    same = [
        found % 5 == item % 5
        for item in range(30)
        for found in known.with_item(item, 3).item_idx.tolist()
    ]
    # Users buy three in four things from the one category of five that they love.
    assert len(same) > 60
    assert np.mean(same) > 0.6
