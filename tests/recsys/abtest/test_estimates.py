"""Estimates of arms, against peers, theory and simulations."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.abtest.estimates import (
    Moments,
    cuped,
    mean_estimate,
    post_stratified,
    ratio_estimate,
)
from recsys.abtest.quantiles import quantile_estimate

columns = arrays(np.float64, st.integers(3, 40), elements=st.floats(-1e3, 1e3))


@given(columns)
def test_moments_are_those_of_numpy(values: np.ndarray) -> None:
    other = np.roll(values, 1) ** 2 / 1e3
    found = Moments.of([values, other])
    assert found.mean_C == pytest.approx([values.mean(), other.mean()])
    assert found.covariance_CC == pytest.approx(np.cov(values, other), abs=1e-6)


@given(columns)
def test_sums_say_the_same_as_values(values: np.ndarray) -> None:
    of_sums = mean_estimate(Moments.of_sums(len(values), values.sum(), (values**2).sum()))
    plain = mean_estimate(Moments.of([values]))
    assert of_sums.mean == pytest.approx(plain.mean)
    assert of_sums.variance == pytest.approx(plain.variance, abs=1e-6)


def test_a_ratio_has_the_cluster_robust_error_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    count = 1 + rng.poisson(3, 300)
    user = np.repeat(np.arange(300), count)
    values = rng.normal(2, 1, len(user)) + rng.normal(0, 1, 300)[user]
    found = ratio_estimate(Moments.of([np.bincount(user, values), count.astype(float)]))
    assert found is not None
    peer = sm.OLS(values, np.ones((len(values), 1))).fit(
        cov_type="cluster", cov_kwds={"groups": user, "use_correction": False}
    )
    assert found.mean == pytest.approx(peer.params[0])
    # Divisors n and n - 1 apart.
    assert found.variance * 299 / 300 == pytest.approx(peer.bse[0] ** 2)


def test_a_ratio_over_nothing_is_none() -> None:
    assert ratio_estimate(Moments.of([np.ones(3), np.zeros(3)])) is None


@given(st.floats(0.1, 10))
def test_a_ratio_of_proportional_sums_has_no_error(scale: float) -> None:
    bottom = np.array([1.0, 2.0, 5.0])
    found = ratio_estimate(Moments.of([scale * bottom, bottom]))
    assert found is not None
    assert found.mean == pytest.approx(scale)
    assert found.variance == pytest.approx(0, abs=1e-9)


def _pair(rng: np.random.Generator, num: int, effect: float, rho: float) -> list[np.ndarray]:
    before = rng.normal(5, 2, num)
    return [
        effect + 3 + rho * (before - 5) / 2 + np.sqrt(1 - rho**2) * rng.normal(0, 1, num),
        before,
    ]


def test_cuped_is_the_regression_on_the_covariate_and_cuts_as_theory_says() -> None:
    rng = np.random.default_rng(3)
    control, treatment = _pair(rng, 4000, 0, 0.7), _pair(rng, 3000, 0.1, 0.7)
    found = cuped(Moments.of(control), Moments.of(treatment))
    assert found is not None
    assert found.variance_cut == pytest.approx(0.7**2, abs=0.02)
    treated = np.repeat([0.0, 1.0], [4000, 3000])
    before = np.concatenate([control[1], treatment[1]])
    design = np.column_stack([np.ones(7000), treated, before])
    peer = sm.OLS(np.concatenate([control[0], treatment[0]]), design).fit()
    assert found.theta == pytest.approx(peer.params[2])
    assert found.treatment.mean - found.control.mean == pytest.approx(peer.params[1])
    error = (found.control.variance + found.treatment.variance) ** 0.5
    assert error == pytest.approx(peer.bse[1], rel=0.02)


def test_cuped_without_a_past_is_none() -> None:
    flat = Moments.of([np.arange(5.0), np.ones(5)])
    assert cuped(flat, flat) is None


def test_cuped_of_a_ratio_is_unbiased_with_the_error_of_simulations() -> None:
    rng = np.random.default_rng(4)
    effects, errors, plain = [], [], []
    for _ in range(400):
        arms = []
        for lifted in (0.0, 0.3):
            taste = rng.normal(2, 0.5, 400)
            now, then = 1 + rng.poisson(3, 400), 1 + rng.poisson(3, 400)
            sums = [
                n * (taste + extra) + rng.normal(0, 1, 400) * n**0.5
                for n, extra in ((now, lifted), (then, 0.0))
            ]
            arms.append(Moments.of([sums[0], now * 1.0, sums[1], then * 1.0]))
        found = cuped(arms[0], arms[1], is_ratio=True)
        assert found is not None
        effects.append(found.treatment.mean - found.control.mean)
        errors.append((found.control.variance + found.treatment.variance) ** 0.5)
        plain.append(found.variance_cut)
    assert np.mean(effects) == pytest.approx(0.3, abs=3 * float(np.std(effects)) / 20)
    assert np.mean(errors) == pytest.approx(np.std(effects), rel=0.1)
    assert np.mean(plain) > 0.1


def test_post_stratification_weighs_strata_by_all_users() -> None:
    rng = np.random.default_rng(5)
    control = [rng.normal(0, 1, 100), rng.normal(10, 1, 300)]
    treatment = [rng.normal(1, 1, 150), rng.normal(11, 1, 250)]
    found = post_stratified(
        [Moments.of([v]) for v in control], [Moments.of([v]) for v in treatment]
    )
    assert found is not None
    share = np.array([250, 550]) / 800
    means = [np.array([v.mean() for v in arm]) for arm in (control, treatment)]
    assert found[0].mean == pytest.approx(share @ means[0])
    assert found[1].mean == pytest.approx(share @ means[1])
    wanted = sum(w**2 * v.var(ddof=1) / len(v) for w, v in zip(share, control, strict=True))
    assert found[0].variance == pytest.approx(wanted)
    plain = mean_estimate(Moments.of([np.concatenate(control)]))
    assert found[0].variance < 0.2 * plain.variance


def test_a_stratum_without_an_arm_is_not_weighed() -> None:
    one, two = Moments.of([np.ones(1)]), Moments.of([np.arange(2.0)])
    assert post_stratified([two, one], [two, two]) is None
    assert post_stratified([], []) is None


def test_quantiles_are_those_of_numpy_and_their_error_that_of_simulations() -> None:
    rng = np.random.default_rng(6)
    found, errors = [], []
    for _ in range(600):
        values = rng.exponential(1, 800)
        estimate = quantile_estimate(values, 0.9)
        assert estimate is not None
        assert estimate.mean == pytest.approx(np.quantile(values, 0.9))
        found.append(estimate.mean)
        errors.append(estimate.variance**0.5)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)


def test_values_of_one_user_make_a_quantile_less_sure() -> None:
    rng = np.random.default_rng(7)
    found, errors, naive = [], [], []
    for _ in range(400):
        user = np.repeat(np.arange(200), 10)
        values = rng.normal(0, 1, 200)[user] + rng.normal(0, 0.3, 2000)
        clustered, plain = (
            quantile_estimate(values, 0.5, user_N=user),
            quantile_estimate(values, 0.5),
        )
        assert clustered is not None
        assert plain is not None
        found.append(clustered.mean)
        errors.append(clustered.variance**0.5)
        naive.append(plain.variance**0.5)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.12)
    assert np.mean(naive) < 0.5 * np.mean(errors)


def test_a_quantile_on_a_mass_point_has_no_error_and_one_user_none() -> None:
    stuck = quantile_estimate(np.r_[np.zeros(95), np.arange(5.0)], 0.5)
    assert stuck is not None
    assert stuck.variance == 0
    assert quantile_estimate(np.ones(1), 0.5) is None
    assert quantile_estimate(np.ones(4), 0.5, user_N=np.zeros(4)) is None
