"""What lists are like, against plain Python and published values."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.list_metrics import coverage, gini, intra_list_distance, miscalibration, novelty

LISTS = st.lists(st.lists(st.integers(-1, 6), min_size=3, max_size=3), min_size=1).map(np.array)


@given(LISTS)
def test_coverage_against_sets(lists: np.ndarray) -> None:
    shown = {item for item in lists.ravel().tolist() if item >= 0}
    assert coverage(lists, 7) == len(shown) / 7


@given(LISTS)
def test_gini_is_the_mean_difference_of_any_two_items(lists: np.ndarray) -> None:
    counts = [(lists == item).sum() for item in range(7)]
    if not sum(counts):
        assert gini(lists, 7) == 0.0
        return
    apart = sum(abs(a - b) for a in counts for b in counts) / 49
    assert gini(lists, 7) == pytest.approx(apart / (2 * sum(counts) / 7))


def test_published_novelty_of_an_item_that_one_of_three_users_saw() -> None:
    assert novelty(np.array([[0]]), np.array([1]), 3) == pytest.approx(-math.log2(1 / 3))


def test_novelty_is_the_mean_over_what_is_shown() -> None:
    takers = np.array([2, 4, 0])
    assert novelty(np.array([[0, 1], [1, -1]]), takers, 8) == pytest.approx((2 + 1 + 1) / 3)
    assert novelty(np.array([[2]]), takers, 8) == pytest.approx(4.0), "half a user took it"
    assert novelty(np.array([[-1]]), takers, 8) == 0.0


@given(LISTS, st.integers(0, 99))
def test_distance_within_lists_against_every_pair(lists: np.ndarray, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(7, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for row, found in zip(lists, intra_list_distance(lists, vectors), strict=True):
        pairs = [1 - vectors[a] @ vectors[b] for a, b in combinations(row[row >= 0], 2)]
        assert found == pytest.approx(np.mean(pairs) if pairs else math.nan, nan_ok=True)


def test_miscalibration_by_hand() -> None:
    taken, shown = np.array([[3.0, 1.0]]), np.array([[1.0, 1.0]])
    lent = 0.99 * 0.5 + 0.01 * np.array([0.75, 0.25])
    wanted = 0.75 * math.log(0.75 / lent[0]) + 0.25 * math.log(0.25 / lent[1])
    assert miscalibration(taken, shown) == pytest.approx(wanted)
    assert miscalibration(taken, 5 * taken) == pytest.approx(0.0, abs=1e-12)
    assert math.isfinite(miscalibration(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])))


def test_users_without_categories_are_not_counted() -> None:
    taken = np.array([[3.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    shown = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert miscalibration(taken, shown) == miscalibration(taken[:1], shown[:1])
    assert miscalibration(taken[1:], shown[1:]) == 0.0
