"""Intervals and paired tests, against scipy's own and against what they promise."""

import numpy as np
import pytest
import scipy.stats

from recsys.intervals import mean_interval, paired_difference


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).exponential(size=400)
    low, high = mean_interval(values, num_resamples=4000)
    peer = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    width = peer.high - peer.low
    assert low == pytest.approx(peer.low, abs=0.06 * width)
    assert high == pytest.approx(peer.high, abs=0.06 * width)


def test_values_of_one_user_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    of_users = rng.random(50)
    once = mean_interval(of_users)
    user = np.repeat(np.arange(50), 20)
    assert mean_interval(np.repeat(of_users, 20), user=user) == pytest.approx(once)
    alone = mean_interval(np.repeat(of_users, 20))
    assert alone[1] - alone[0] < 0.5 * (once[1] - once[0])


def test_the_interval_of_one_user_is_a_point() -> None:
    assert mean_interval(np.array([0.25])) == (0.25, 0.25)


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(300):
        low, high = mean_interval(rng.normal(1.0, 1.0, 60), seed=trial, num_resamples=200)
        held += low <= 1.0 <= high
    assert 0.9 <= held / 300 <= 0.99


def test_the_p_value_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.random(50) + 0.05, rng.random(50)
    found = paired_difference(ours, theirs)
    peer = scipy.stats.permutation_test(
        (ours - theirs,),
        np.mean,
        permutation_type="samples",
        n_resamples=5000,
        rng=np.random.default_rng(1),
    )
    assert found.p_value == pytest.approx(peer.pvalue, abs=0.03)
    assert found.difference == pytest.approx((ours - theirs).mean())
    assert found.low < found.difference < found.high


def test_alike_systems_do_not_differ_and_unlike_ones_do() -> None:
    values = np.random.default_rng(1).random(100)
    alike = paired_difference(values, values)
    assert (alike.difference, alike.p_value) == (0.0, 1.0)
    assert paired_difference(values + 0.1, values).p_value < 0.001
    assert paired_difference(values, values + 0.1).p_value < 0.001


def test_under_the_null_few_p_values_are_small() -> None:
    rng = np.random.default_rng(0)
    found = [
        paired_difference(rng.random(40), rng.random(40), seed=trial, num_flips=300).p_value
        for trial in range(300)
    ]
    assert 0.01 <= np.mean(np.array(found) < 0.05) <= 0.1


def test_other_users_are_refused() -> None:
    with pytest.raises(ValueError, match="one value a user"):
        paired_difference(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="one value a user"):
        paired_difference(np.zeros(0), np.zeros(0))
