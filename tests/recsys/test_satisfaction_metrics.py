"""Metrics of satisfaction: bounded, right by hand, and moved the right way by what is shown."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.grades import BOUGHT, DISLIKED, LOVED
from recsys.satisfaction_metrics import (
    regret,
    regret_recall,
    satisfaction_ndcg,
    satisfaction_of,
    summarise_satisfaction,
)

GAINS = st.lists(st.sampled_from([-1.0, -0.5, 0.5, 1.0]), min_size=1, max_size=4).map(np.array)


@st.composite
def ranked(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    gains = draw(GAINS)
    places = draw(st.permutations(range(8)))
    ranks = np.array(places[: len(gains)], dtype=float)
    missing = draw(st.lists(st.booleans(), min_size=len(gains), max_size=len(gains)))
    return np.where(missing, np.inf, ranks), gains


def gained(ranks: np.ndarray, gains: np.ndarray, k: int) -> float:
    return sum(g / math.log2(r + 2) for r, g in zip(ranks, gains, strict=True) if r < k)


@given(ranked(), st.integers(1, 6))
def test_no_list_is_better_than_one_or_worse_than_zero(
    drawn: tuple[np.ndarray, np.ndarray], k: int
) -> None:
    ranks, gains = drawn
    everything = [
        gained(np.array(order), gains, k)
        for order in permutations(
            [0.0, 1.0, 2.0, 3.0, math.inf, math.inf, math.inf, math.inf], len(gains)
        )
    ]
    best, worst = max(everything), min(everything)
    wanted = (gained(ranks, gains, k) - worst) / (best - worst)
    assert satisfaction_ndcg(ranks, gains, k) == pytest.approx(wanted)
    assert -1e-12 <= satisfaction_ndcg(ranks, gains, k) <= 1 + 1e-12


def test_with_good_purchases_alone_it_is_ndcg() -> None:
    ranks, gains = np.array([1.0, 4.0]), np.array([1.0, 1.0])
    wanted = (1 / math.log2(3) + 1 / math.log2(6)) / (1 + 1 / math.log2(3))
    assert satisfaction_ndcg(ranks, gains, 10) == pytest.approx(wanted)


def test_of_one_who_disliked_all_the_best_list_shows_none() -> None:
    disliked = np.array([-1.0])
    assert satisfaction_ndcg(np.array([np.inf]), disliked, 10) == 1.0
    assert satisfaction_ndcg(np.array([0.0]), disliked, 10) == 0.0
    assert 0 < satisfaction_ndcg(np.array([5.0]), disliked, 10) < 1


def test_regret_by_hand() -> None:
    ranks = np.array([0.0, 9.0, 10.0, np.inf])
    assert regret(ranks, 10) == 0.2
    assert regret_recall(ranks, 10) == 0.5
    assert regret(np.array([]), 10) == 0.0


def test_satisfaction_of_grades() -> None:
    grades = np.array([LOVED, DISLIKED, BOUGHT], dtype=np.int8)
    assert satisfaction_of(grades).tolist() == [1.0, -1.0, 0.5]


def test_a_summary_counts_users_and_what_they_disliked() -> None:
    ranks = [np.array([0.0, 3.0]), np.array([np.inf]), np.array([1.0])]
    grades = [np.array([LOVED, DISLIKED]), np.array([DISLIKED]), np.array([BOUGHT])]
    found = summarise_satisfaction(ranks, grades, 10)
    assert found["regret@10"] == pytest.approx(0.1 / 3)
    assert found["regret_recall@10"] == pytest.approx(0.5)
    alone = [
        satisfaction_ndcg(r, satisfaction_of(g), 10) for r, g in zip(ranks, grades, strict=True)
    ]
    assert found["satisfaction_ndcg@10"] == pytest.approx(np.mean(alone))


def test_where_nothing_was_felt_nothing_is_said() -> None:
    assert summarise_satisfaction([np.array([0.0])], [np.array([BOUGHT])], 10) == {}
    happy = summarise_satisfaction([np.array([0.0])], [np.array([LOVED])], 10)
    assert set(happy) == {"satisfaction_ndcg@10", "regret@10"}
