"""Team draft by hand and by its promises; the analysis against scipy; what it saves."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.interleaving import NEITHER, A, B, credit, preference, team_draft
from recsys.interleaving_simulation import impressions_saved
from recsys.simulated_users import Behaviour, Truth


def draft(a: list[int], b: list[int], k: int, *coins: bool) -> tuple[list[int], list[int]]:
    found = team_draft(np.array([a]), np.array([b]), k, np.array([coins]))
    return found.item[0].tolist(), found.team[0].tolist()


def test_drafts_by_hand() -> None:
    assert draft([1, 2, 3], [3, 1, 2], 3, True, True) == ([1, 3, 2], [A, B, A])
    assert draft([1, 2, 3], [3, 1, 2], 3, False, False) == ([3, 1, 2], [B, A, B])
    assert draft([1, 2, 3], [3, 1, 2], 3, False, True) == ([3, 1, 2], [B, A, A])


def test_where_both_agree_from_the_top_nobody_has_credit() -> None:
    assert draft([1, 2, 3, 4], [1, 2, 4, 3], 4, True, True) == (
        [1, 2, 3, 4],
        [NEITHER, NEITHER, A, B],
    )
    assert draft([1, 2], [1, 2], 2, True) == ([1, 2], [NEITHER, NEITHER])


def test_short_rankings_leave_places_empty() -> None:
    assert draft([1, -1], [2, -1], 4, True, True) == ([1, 2, -1, -1], [A, B, NEITHER, NEITHER])
    assert draft([1, 2, 3], [-1, -1, -1], 3, False, False) == ([1, 2, 3], [A, A, A])


_orders = st.permutations(range(6))


@settings(deadline=None, max_examples=80)
@given(_orders, _orders, st.integers(1, 6), st.lists(st.booleans(), min_size=3, max_size=3))
def test_what_every_draft_holds(a: list[int], b: list[int], k: int, coins: list[bool]) -> None:
    item, team = draft(a, b, k, *coins)
    assert len(set(item)) == k
    assert abs(team.count(A) - team.count(B)) <= 1
    # Of its own picks each ranking keeps the order.
    for side, order in ((A, a), (B, b)):
        places = [order.index(i) for i, t in zip(item, team, strict=True) if t == side]
        assert places == sorted(places)
    # The other way round, with the coins the other way, is the same list.
    swapped_item, swapped_team = draft(b, a, k, *[not coin for coin in coins])
    assert swapped_item == item
    assert swapped_team == [{A: B, B: A, NEITHER: NEITHER}[t] for t in team]


def test_credit_goes_to_whose_pick_it_was() -> None:
    team = np.array([[A, B, NEITHER], [B, A, B]])
    gain = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    credit_a, credit_b = credit(team, gain)
    assert (credit_a.tolist(), credit_b.tolist()) == ([1.0, 0.0], [0.0, 2.0])


def test_the_analysis_by_hand_and_by_scipy() -> None:
    a = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 2.0])
    b = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    user = np.array([1, 2, 2, 3, 3, 4])
    found = preference(a, b, user)
    assert (found.num_lists, found.wins_a, found.wins_b, found.ties) == (5, 2, 2, 1)
    assert found.delta == pytest.approx(2.5 / 5 - 0.5)
    of_users = np.array([-1.0, 1.0, 0.0, -2.0])
    test = scipy.stats.ttest_1samp(of_users, 0.0)
    assert found.t_p == pytest.approx(test.pvalue)  # type: ignore[union-attr]
    interval = test.confidence_interval()  # type: ignore[union-attr]
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.users_a, found.users_b) == (2, 1)
    assert found.sign_p == pytest.approx(scipy.stats.binomtest(1, 3).pvalue)


def test_a_user_of_many_lists_counts_once() -> None:
    a, b = np.zeros(100), np.ones(100)
    user = np.concatenate([np.zeros(98), [1, 2]])
    found = preference(a, b, user)
    assert found.num_users == 3
    assert found.sign_p == pytest.approx(0.25)


@pytest.mark.parametrize(("num_users", "p"), [(2, 0.5), (10, 2 / 1024)])
def test_users_who_are_all_alike_tell_by_their_number(num_users: int, p: float) -> None:
    found = preference(np.zeros(num_users), np.ones(num_users), np.arange(num_users))
    assert found.t_p == pytest.approx(p)


def test_without_any_preference_nothing_is_found() -> None:
    found = preference(np.zeros(4), np.zeros(4), np.arange(4))
    assert (found.num_lists, found.delta, found.sign_p, found.t_p) == (0, 0.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="all lists are of one user"):
        preference(np.zeros(4), np.zeros(4), np.zeros(4))
    with pytest.raises(ValueError, match="at least one list"):
        preference(np.zeros(0), np.zeros(0), np.zeros(0))


@pytest.mark.parametrize(
    ("a", "b", "k", "coins", "message"),
    [
        (np.zeros((2, 3)), np.zeros((1, 3)), 2, np.ones((2, 1)), "one row a list in both"),
        (np.zeros((2, 3)), np.zeros((2, 3)), 0, np.ones((2, 1)), "at least one place"),
        (np.zeros((2, 3)), np.zeros((2, 3)), 3, np.ones((2, 1)), "coins have shape"),
    ],
)
def test_bad_drafts_are_refused(
    a: np.ndarray, b: np.ndarray, k: int, coins: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        team_draft(a, b, k, coins)


def shop(num_users: int = 150, num_items: int = 12) -> Truth:
    rng = np.random.default_rng(1)
    return Truth(
        user_ids=np.arange(num_users),
        item_ids=np.arange(num_items),
        relevance=rng.beta(1, 3, (num_users, num_items)),
        satisfaction=np.full((num_users, num_items), 0.5),
        candidates=np.tile(np.arange(num_items), (num_users, 1)),
    )


def test_interleaving_wants_fewer_impressions_at_the_same_power() -> None:
    truth = shop()
    noise = np.random.default_rng(2).normal(size=truth.relevance.shape)
    worse = truth.relevance + 0.15 * noise
    found = impressions_saved(
        truth, Behaviour(num_places=4), worse, truth.relevance, seed=3, num_experiments=150
    )
    assert found.true_difference > 0
    assert found.ratio > 2
    assert found.ab_lists / found.interleaved_lists == pytest.approx(found.ratio, rel=0.01)
    # 150 experiments at a power of 0.8: four standard errors are 0.13.
    assert found.interleaved_power == pytest.approx(0.8, abs=0.13)
    assert found.ab_power < found.interleaved_power - 0.1


def test_the_same_ranking_twice_cannot_be_told_apart() -> None:
    truth = shop()
    with pytest.raises(ValueError, match="the same clicks"):
        impressions_saved(truth, Behaviour(), truth.relevance, truth.relevance, seed=0)
    with pytest.raises(ValueError, match=r"power 1\.0"):
        impressions_saved(truth, Behaviour(), truth.relevance, -truth.relevance, seed=0, power=1.0)


def test_under_the_null_the_test_has_its_size() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        a, b = rng.poisson(0.4, (2, 60)).astype(float)
        found.append(preference(a, b, np.arange(60)).t_p < 0.05)
    assert 0.02 <= np.mean(found) <= 0.085
