"""Intervals against scipy's own, by hand, and against what they promise."""

import math

import numpy as np
import pytest
import scipy.stats

from recsys.off_policy.estimators import Contributions, ipw, snipw
from recsys.off_policy.intervals import (
    Intervals,
    bootstrap,
    empirical_bernstein,
    intervals,
    standard_error,
)

ROWS = np.arange(400)


def _sample(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    weight = rng.exponential(size=400)
    return (rng.random(400) < 0.3).astype(float), weight


def test_the_bootstrap_draws_as_numpy_choice_does() -> None:
    reward, weight = _sample()
    rng = np.random.RandomState(7)
    means = [rng.choice(weight * reward, size=400).mean() for _ in range(200)]
    found = bootstrap([ipw(reward, weight, (0, 1))], ROWS, seed=7, num_resamples=200)[0]
    assert found == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=1e-12)


def test_a_ratio_is_resampled_as_a_ratio() -> None:
    reward, weight = _sample()
    rng = np.random.RandomState(7)
    draws = [rng.randint(0, 400, 400) for _ in range(200)]
    ratios = [(weight * reward)[draw].sum() / weight[draw].sum() for draw in draws]
    found = bootstrap([snipw(reward, weight)], ROWS, seed=7, num_resamples=200)[0]
    assert found == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])), abs=1e-12)


def test_estimates_together_are_resampled_as_each_alone() -> None:
    reward, weight = _sample()
    both = [ipw(reward, weight, (0, 1)), snipw(reward, weight)]
    alone = [bootstrap([one], ROWS, seed=1, num_resamples=50)[0] for one in both]
    found = bootstrap(both, ROWS, seed=1, num_resamples=50)
    assert np.allclose(found, alone, rtol=1e-12)


def test_many_groups_are_weighed_instead_of_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    reward, weight = _sample()
    both = [ipw(reward, weight, (0, 1)), snipw(reward, 1e6 * weight)]
    drawn = bootstrap(both, ROWS, seed=1, num_resamples=4000)
    monkeypatch.setattr("recsys.off_policy.intervals.MOST_DRAWN", 399)
    weighed = bootstrap(both, ROWS, seed=1, num_resamples=4000)
    assert weighed != drawn
    assert weighed == bootstrap(both, ROWS, seed=1, num_resamples=4000)
    for one, other in zip(drawn, weighed, strict=True):
        assert other == pytest.approx(one, abs=0.08 * (one[1] - one[0]))


def _one(found: Contributions, group: np.ndarray, num_resamples: int = 1000) -> Intervals:
    return intervals({"it": found}, group, seed=0, num_resamples=num_resamples)["it"]


def test_the_standard_error_of_a_mean_is_the_usual_one() -> None:
    reward, weight = _sample()
    found = standard_error(ipw(reward, weight, (0, 1)), ROWS)
    assert found == pytest.approx(scipy.stats.sem(weight * reward))


def test_the_normal_interval_and_the_bootstrap_agree_on_many_rows() -> None:
    found = _one(snipw(*_sample()), ROWS, 4000)
    width = found.normal[1] - found.normal[0]
    assert found.bootstrap == pytest.approx(found.normal, abs=0.08 * width)


def test_groups_are_drawn_whole() -> None:
    reward, weight = _sample()
    repeated = np.repeat(ROWS, 10)
    once = _one(snipw(reward, weight), ROWS)
    many = _one(snipw(np.repeat(reward, 10), np.repeat(weight, 10)), repeated)
    assert many.standard_error == pytest.approx(once.standard_error)
    assert many.bootstrap == pytest.approx(once.bootstrap)
    alone = _one(snipw(np.repeat(reward, 10), np.repeat(weight, 10)), np.arange(4000))
    assert alone.standard_error < 0.5 * once.standard_error


def test_empirical_bernstein_by_hand() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0] * 40)
    n, log_term = 200, math.log(4 / 0.05)
    reach = math.sqrt(2 * values.var(ddof=1) * log_term / n) + 7 * log_term / (3 * (n - 1))
    found = empirical_bernstein(values, np.arange(n), low=0.0, high=1.0)
    assert found == pytest.approx((0.6 - reach, 0.6 + reach))


def test_empirical_bernstein_holds_where_the_bootstrap_does_not() -> None:
    rng = np.random.default_rng(0)
    held = {"bernstein": 0, "bootstrap": 0}
    for trial in range(200):
        # A rare large value, which half of the samples do not have.
        values = np.where(rng.random(100) < 0.007, 1.0, 0.0)
        low, high = empirical_bernstein(values, np.arange(100), low=0.0, high=1.0)
        held["bernstein"] += low <= 0.007 <= high
        zeros, ones = np.zeros(100), np.ones(100)
        found = Contributions(base=zeros, gain=values, share=ones)
        low, high = bootstrap([found], np.arange(100), seed=trial, num_resamples=50)[0]
        held["bootstrap"] += low <= 0.007 <= high
    assert held["bernstein"] == 200
    assert held["bootstrap"] < 0.8 * 200


def test_a_single_group_tells_nothing_of_its_spread() -> None:
    found = ipw(np.array([1.0, 0.0]), np.ones(2), (0.0, 1.0))
    same = np.zeros(2, dtype=np.int64)
    assert standard_error(found, same) == 0.0
    assert empirical_bernstein(found.gain, same, low=0.0, high=1.0) == (0.0, 1.0)
