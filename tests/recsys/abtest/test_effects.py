"""Effects and intervals, against published values and against peers."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from recsys.abtest.always_valid import half_width, p_value, read_always_valid
from recsys.abtest.effects import (
    Contrast,
    difference,
    is_inferior,
    lift,
    read_by_width,
    read_fixed,
    tail,
)
from recsys.abtest.estimates import ArmEstimate, Moments, mean_estimate
from recsys.abtest.gates import sample_ratio_p_value
from recsys.abtest.posterior import posterior

CONTROL = mean_estimate(Moments.of_sums(3407, 1396.87, 52377.9767))
TREATMENT = mean_estimate(Moments.of_sums(3461, 2422.7, 134698.29))


def test_the_relative_lift_is_the_published_one() -> None:
    found = lift(CONTROL, TREATMENT)
    assert found is not None
    reading = read_fixed(found, alpha=0.05, sides="two", better="higher")
    assert round(reading.value, 5) == 0.70732
    assert round(reading.standard_error, 5) == 0.37879
    assert round(reading.p_value, 5) == 0.06191
    assert (round(reading.low, 5), round(reading.high, 5)) == (-0.03526, 1.44989)


def test_the_absolute_difference_is_the_published_one() -> None:
    found = difference(CONTROL, TREATMENT)
    reading = read_fixed(found, alpha=0.05, sides="two", better="higher")
    assert round(reading.value, 5) == 0.29
    assert round(reading.p_value, 5) == 0.02016
    assert (round(reading.low, 5), round(reading.high, 5)) == (0.04538, 0.53462)


def test_the_sequential_interval_is_the_published_one() -> None:
    control = mean_estimate(Moments.of_sums(3000, 1396.87, 52377.9767))
    found = lift(control, TREATMENT)
    assert found is not None
    reading = read_always_valid(found, alpha=0.05, tuning=1000, sides="two", better="higher")
    assert (round(reading.low, 5), round(reading.high, 5)) == (-0.55844, 1.56516)


def test_sample_ratios_have_the_published_p_values() -> None:
    assert round(sample_ratio_p_value([502, 498], [0.5, 0.5]), 5) == 0.89934
    assert f"{sample_ratio_p_value([1000, 1200], [0.5, 0.5]):.3e}" == "2.008e-05"


def test_welch_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.normal(1, 1, 50), rng.normal(1.3, 2, 80)
    two = [mean_estimate(Moments.of([values])) for values in (control, treatment)]
    peer: Any = scipy.stats.ttest_ind(treatment, control, equal_var=False)
    contrast = difference(*two)
    assert tail(contrast, sides="two", better="higher") == pytest.approx(peer.pvalue)
    reading = read_fixed(contrast, alpha=0.1, sides="two", better="higher")
    interval = peer.confidence_interval(0.9)
    assert (reading.low, reading.high) == pytest.approx((interval.low, interval.high))
    greater: Any = scipy.stats.ttest_ind(treatment, control, equal_var=False, alternative="greater")
    assert tail(contrast, sides="one", better="higher") == pytest.approx(greater.pvalue)
    less: Any = scipy.stats.ttest_ind(treatment, control, equal_var=False, alternative="less")
    assert tail(contrast, sides="one", better="lower") == pytest.approx(less.pvalue)
    one = read_fixed(contrast, alpha=0.1, sides="one", better="higher")
    assert (one.low, one.high) == pytest.approx((greater.confidence_interval(0.9).low, math.inf))


def test_a_lift_over_nothing_means_nothing() -> None:
    for mean in (0.0, -1.0):
        control = ArmEstimate(num_users=10, mean=mean, variance=0.1)
        assert lift(control, TREATMENT) is None


def test_the_error_of_a_lift_is_that_of_simulations() -> None:
    rng = np.random.default_rng(5)
    control, treatment = rng.exponential(2, (4000, 300)), rng.exponential(2.4, (4000, 200))
    lifts = treatment.mean(1) / control.mean(1) - 1
    two = [ArmEstimate(num_users=n, mean=m, variance=m**2 / n) for n, m in ((300, 2.0), (200, 2.4))]
    found = lift(*two)
    assert found is not None
    assert found.standard_error == pytest.approx(lifts.std(), rel=0.04)


@pytest.mark.parametrize(
    ("low", "high", "better", "expected"),
    [
        (-0.01, 0.03, "higher", False),
        (-0.03, 0.03, "higher", None),
        (-0.05, -0.03, "higher", True),
        (-0.03, 0.01, "lower", False),
        (-0.03, 0.03, "lower", None),
        (0.03, 0.05, "lower", True),
        (-0.01, math.inf, "higher", False),
        (-0.05, math.inf, "higher", None),
    ],
)
def test_not_inferior_is_an_interval_on_the_good_side_of_the_margin(
    low: float, high: float, better: str, expected: bool | None
) -> None:
    contrast = Contrast(value=0, standard_error=1, degrees_of_freedom=9, num_users=10)
    reading = read_by_width(contrast, 1, 1, sides="two", better="higher")
    moved = type(reading)(value=0, standard_error=1, low=low, high=high, p_value=1)
    assert is_inferior(moved, margin=0.02, better=better) is expected  # type: ignore[arg-type]


contrasts = st.builds(
    Contrast,
    value=st.floats(-10, 10),
    standard_error=st.floats(0.01, 10),
    degrees_of_freedom=st.floats(2, 1e6),
    num_users=st.integers(10, 10**7),
)


@given(contrasts, st.floats(0.001, 0.4), st.sampled_from(["two", "one"]))
def test_the_interval_excludes_zero_where_the_test_rejects(
    contrast: Contrast, alpha: float, sides: str
) -> None:
    reading = read_fixed(contrast, alpha=alpha, sides=sides, better="higher")  # type: ignore[arg-type]
    assert 0 <= reading.p_value <= 1
    if abs(reading.p_value - alpha) > 1e-9:
        assert (reading.p_value < alpha) == (reading.low > 0 or reading.high < 0)


@given(contrasts, st.floats(0.001, 0.4), st.floats(100, 1e5))
def test_always_valid_intervals_are_wider_and_agree_with_their_p_value(
    contrast: Contrast, alpha: float, tuning: float
) -> None:
    always = read_always_valid(contrast, alpha=alpha, tuning=tuning, sides="two", better="higher")
    # Of a normal law: Student's t of few degrees is no asymptotic matter.
    normal = scipy.stats.norm.isf(alpha / 2) * contrast.standard_error
    width = half_width(contrast.standard_error, contrast.num_users, alpha=alpha, tuning=tuning)
    assert width > normal
    if abs(always.p_value - alpha) > 1e-9:
        assert (always.p_value < alpha) == (always.low > 0 or always.high < 0)
    assert p_value(contrast, alpha=alpha, tuning=tuning) <= 1


def test_always_valid_intervals_are_tightest_at_the_tuning() -> None:
    widths = {
        n: half_width(n**-0.5, n, alpha=0.05, tuning=5000) * n**0.5
        for n in (50, 500, 5000, 50_000, 500_000)
    }
    assert min(widths, key=lambda n: widths[n]) == 5000


@given(contrasts)
def test_a_flat_prior_reads_as_the_one_sided_test(contrast: Contrast) -> None:
    belief = posterior(contrast, alpha=0.05, better="higher")
    z = contrast.value / contrast.standard_error
    assert belief.chance_to_beat_control == pytest.approx(scipy.stats.norm.cdf(z), abs=1e-12)
    assert (belief.mean, belief.standard_deviation) == pytest.approx(
        (contrast.value, contrast.standard_error)
    )
    # Loss of shipping less loss of not shipping is the expected harm.
    other = posterior(contrast, alpha=0.05, better="lower")
    assert belief.expected_loss - other.expected_loss == pytest.approx(-contrast.value, abs=1e-6)


def test_expected_loss_is_that_of_simulations_and_a_prior_pulls() -> None:
    contrast = Contrast(value=0.1, standard_error=0.2, degrees_of_freedom=99, num_users=100)
    draws = np.random.default_rng(0).normal(0.1, 0.2, 400_000)
    belief = posterior(contrast, alpha=0.05, better="higher")
    assert belief.expected_loss == pytest.approx(np.maximum(0, -draws).mean(), abs=1e-3)
    pulled = posterior(contrast, alpha=0.05, better="higher", prior_standard_deviation=0.2)
    assert pulled.mean == pytest.approx(0.05)
    assert pulled.standard_deviation == pytest.approx(0.2 / 2**0.5)


def test_no_error_is_no_posterior_and_a_certain_test() -> None:
    sure = Contrast(value=1, standard_error=0, degrees_of_freedom=9, num_users=10)
    with pytest.raises(ValueError, match="no posterior"):
        posterior(sure, alpha=0.05, better="higher")
    assert tail(sure, sides="two", better="higher") == 0
    assert tail(sure, sides="one", better="lower") == 1
    assert p_value(sure, alpha=0.05, tuning=100) == 0
