"""Whether intervals cover and tests reject as often as they say: 10,000 simulated experiments each.

Every simulation calls the functions that `sentirec abtest analyze` calls.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from recsys.abtest.effects import Contrast, difference, lift, read_fixed
from recsys.abtest.estimates import (
    ArmEstimate,
    Moments,
    cuped,
    mean_estimate,
    post_stratified,
    ratio_estimate,
)
from recsys.abtest.quantiles import quantile_estimate

ALPHA = 0.05
BOUND = 2.6
"""Monte Carlo standard errors within which a share must be."""
_NUM_USERS = (1000, 700)
_RHO = 0.6

Arms = tuple[ArmEstimate | None, ArmEstimate | None]
Case = tuple[str, Callable[[np.random.Generator, float], Arms], float, bool]


def welch_arms(rng: np.random.Generator, effect: float) -> Arms:
    """Skewed values of unequal variance: exponential, the treatment's spread wider."""
    control = rng.exponential(2.0, _NUM_USERS[0])
    treatment = 2.0 + effect + 1.5 * (rng.exponential(2.0, _NUM_USERS[1]) - 2.0)
    return mean_estimate(Moments.of([control])), mean_estimate(Moments.of([treatment]))


def ratio_arms(rng: np.random.Generator, effect: float) -> Arms:
    """Sums of a user's events by their number, users of different taste and diligence."""
    found = []
    for num, extra in zip(_NUM_USERS, (0.0, effect), strict=True):
        diligence = rng.gamma(2.0, 1.0, num)
        count = 1.0 + rng.poisson(2 * diligence)
        taste = 2.0 + extra + rng.normal(0, 0.7, num)
        found.append(ratio_estimate(Moments.of([rng.normal(count * taste, count**0.5), count])))
    return found[0], found[1]


def _pair(rng: np.random.Generator, num: int, effect: float, rho: float) -> list[np.ndarray]:
    """Return a metric and its past, both skewed, correlated by `rho`."""
    shared, now, then = (rng.exponential(1.0, num) for _ in range(3))
    a, b = math.sqrt(rho), math.sqrt(1 - rho)
    return [
        2.0 + effect + a * (shared - 1) + b * (now - 1),
        2.0 + a * (shared - 1) + b * (then - 1),
    ]


def cuped_arms(rng: np.random.Generator, effect: float) -> Arms:
    """A metric and its past."""
    control, treatment = (
        Moments.of(_pair(rng, num, extra, _RHO))
        for num, extra in zip(_NUM_USERS, (0.0, effect), strict=True)
    )
    found = cuped(control, treatment)
    assert found is not None
    return found.control, found.treatment


def stratified_arms(rng: np.random.Generator, effect: float) -> Arms:
    """Three strata of different means, of random sizes."""
    arms = []
    for num, extra in zip(_NUM_USERS, (0.0, effect), strict=True):
        stratum = rng.choice(3, num, p=(0.5, 0.3, 0.2))
        values = rng.exponential(1.0 + stratum, num) + extra
        arms.append([Moments.of([values[stratum == s]]) for s in range(3)])
    found = post_stratified(arms[0], arms[1])
    assert found is not None
    return found


def median_arms(rng: np.random.Generator, effect: float) -> Arms:
    """The median of events that belong to users."""
    found = []
    for num, extra in zip(_NUM_USERS, (0.0, effect), strict=True):
        count = 1 + rng.poisson(1.5, num)
        user = np.repeat(np.arange(num), count)
        values = rng.normal(5, 1, num)[user] + rng.normal(0, 1, len(user)) + extra
        found.append(quantile_estimate(values, 0.5, user_N=user))
    return found[0], found[1]


CASES: tuple[Case, ...] = (
    ("Welch, difference", welch_arms, 0.3, False),
    ("Welch, lift", welch_arms, 0.3, True),
    ("ratio, difference", ratio_arms, 0.1, False),
    ("ratio, lift", ratio_arms, 0.1, True),
    ("CUPED, difference", cuped_arms, 0.1, False),
    ("CUPED, lift", cuped_arms, 0.1, True),
    ("post-stratified, difference", stratified_arms, 0.2, False),
    ("median of events, difference", median_arms, 0.1, False),
)
_CONTROL_MEAN = 2.0


def run_inference(num_simulations: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield coverage under an effect and size without one, of each way of analysis."""
    for name, draw, effect, is_lift in CASES:
        rng = np.random.default_rng(seed)
        truth = effect / _CONTROL_MEAN if is_lift else effect
        covered = rejected = 0
        for _ in range(num_simulations):
            reading = _read(draw(rng, effect), is_lift)
            covered += reading.low <= truth <= reading.high
            rejected += _read(draw(rng, 0.0), is_lift).p_value < ALPHA
        yield {
            "analysis": name,
            "coverage": covered / num_simulations,
            "size": rejected / num_simulations,
            "monte_carlo_se": math.sqrt(ALPHA * (1 - ALPHA) / num_simulations),
            "coverage_off_in_se": _off(covered / num_simulations, 1 - ALPHA, num_simulations),
            "size_off_in_se": _off(rejected / num_simulations, ALPHA, num_simulations),
        }


def run_cuped(num_simulations: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield what CUPED takes from the variance of the difference, by correlation with the past."""
    for rho in (0.2, 0.4, 0.6, 0.8):
        rng = np.random.default_rng(seed)
        plain, adjusted, told = [], [], []
        for _ in range(num_simulations):
            arms = [Moments.of(_pair(rng, 500, 0.0, rho)) for _ in range(2)]
            found = cuped(arms[0], arms[1])
            assert found is not None
            plain.append(arms[1].mean_C[0] - arms[0].mean_C[0])
            adjusted.append(found.treatment.mean - found.control.mean)
            told.append(found.variance_cut)
        yield {
            "rho": rho,
            "theory": rho**2,
            "told": float(np.mean(told)),
            "found": float(1 - np.var(adjusted) / np.var(plain)),
        }


def _read(arms: Arms, is_lift: bool):
    control, treatment = arms
    assert control is not None
    assert treatment is not None
    contrast: Contrast | None = (lift if is_lift else difference)(control, treatment)
    assert contrast is not None
    return read_fixed(contrast, alpha=ALPHA, sides="two", better="higher")


def _off(share: float, promised: float, num: int) -> float:
    return (share - promised) / math.sqrt(promised * (1 - promised) / num)
