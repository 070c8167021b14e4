"""Boundaries of group-sequential tests by alpha spending, by numerical integration.

Shape suffixes: K looks, N nodes of the integration.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import ndtr
from scipy.stats import norm
from scipy.stats import t as student

from recsys.abtest.effects import Better, Contrast, Reading, Sides, read_by_width, tail

Spending = Literal["obrien-fleming", "pocock"]
# Of one panel of the integration; panels are no wider than four deviations of a step.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_LEAST_PANELS = 10
# Nearer looks would ask for a finer integration than is done.
LEAST_STEP = 5e-4
_LEAST_P = 1e-12
# Deviations of a score beyond which nothing matters; one-sided tests have no lower boundary.
_FAR = 9.0


def spent(spending: Spending, fraction: float, alpha: float) -> float:
    """Return how much of a one-sided level may be spent up to a share of the information.

    O'Brien-Fleming-like: 2 (1 - Phi(z_{alpha/2} / sqrt(t))); Pocock-like: alpha ln(1 + (e - 1) t).
    Source: Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials".

    >>> round(spent("pocock", 0.2, 0.025), 6), round(spent("obrien-fleming", 1.0, 0.025), 6)
    (0.007385, 0.025)

    Args:
        spending: Which function.
        fraction: In (0, 1].
        alpha: One-sided level.
    """
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * fraction)
    return min(alpha, float(2 * norm.sf(norm.isf(alpha / 2) / math.sqrt(fraction))))


def boundaries(
    spending: Spending, fractions_K: Sequence[float], *, alpha: float, sides: Sides
) -> list[float]:
    """Return the critical values of the standardised effect at each look.

    The chance to cross first at look k is what is spent between looks k - 1 and k; two-sided tests
    spend alpha / 2 on each side. Source: Armitage, McPherson and Rowe 1969, "Repeated significance
    tests on accumulating data", for the recursion.

    Args:
        spending: Which function.
        fractions_K: Shares of the information, increasing by `LEAST_STEP` or more, in (0, 1].
        alpha: Size of the whole test.
        sides: Of it.

    Raises:
        ValueError: The fractions do not increase so within (0, 1].
    """
    steps = _steps(fractions_K)
    one_sided = alpha / 2 if sides == "two" else alpha
    found: list[float] = []
    state: _State | None = None
    before = 0.0
    for fraction, step, after in zip(fractions_K, steps, [*steps[1:], 1.0], strict=True):
        target = spent(spending, fraction, one_sided)
        bound = _crossing(state, step, target - before)
        found.append(bound / math.sqrt(fraction))
        state = _next_state(state, fraction, step, after, bound, sides=sides)
        before = target
    return found


def crossing_chance(
    fractions_K: Sequence[float], critical_K: Sequence[float], *, sides: Sides, drift: float = 0.0
) -> float:
    """Return the chance to cross any of given boundaries.

    Args:
        fractions_K: Shares of the information, increasing.
        critical_K: Critical values of the standardised effect.
        sides: Two: crossing below counts too.
        drift: Mean of the standardised effect once all information is there.
    """
    steps = _steps(fractions_K)
    state: _State | None = None
    chance = 0.0
    looks = zip(fractions_K, steps, [*steps[1:], 1.0], critical_K, strict=True)
    for fraction, step, after, critical in looks:
        bound = critical * math.sqrt(fraction)
        chance += _chance_above(state, step, bound, drift)
        if sides == "two":
            chance += _chance_above(_mirrored(state), step, bound, -drift)
        state = _next_state(state, fraction, step, after, bound, sides=sides, drift=drift)
    return chance


def repeated_p_value(
    statistic: float, spending: Spending, fractions_K: Sequence[float], *, sides: Sides
) -> float:
    """Return the least size of the whole test whose boundary at the last of the looks is crossed.

    It is below alpha exactly where the boundary for alpha is crossed, and valid at every look.
    Source: Jennison and Turnbull 1999, "Group sequential methods", section 9.5.

    Args:
        statistic: The standardised effect; its size for a two-sided test.
        spending: Which function.
        fractions_K: The looks up to this one.
        sides: Of the test.
    """

    def is_crossed(log_alpha: float) -> bool:
        bounds = boundaries(spending, fractions_K, alpha=math.exp(log_alpha), sides=sides)
        return statistic >= bounds[-1]

    low, high = math.log(_LEAST_P), math.log(0.999)
    if not is_crossed(high):
        return 1.0
    if is_crossed(low):
        return _LEAST_P
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if is_crossed(middle) else (middle, high)
    return math.exp(high)


def read_at_look(
    contrast: Contrast,
    spending: Spending,
    fractions_K: Sequence[float],
    *,
    alpha: float,
    sides: Sides,
    better: Better,
) -> Reading:
    """Conclude at a look of a group-sequential test: the repeated interval, and its p-value.

    The interval is the effect +- critical value x standard error, the critical value of the normal
    law taken to Student's t by equal tails. Source: Jennison and Turnbull 1989, "Interim analyses:
    the repeated confidence interval approach".

    Args:
        contrast: The effect.
        spending: Which function.
        fractions_K: Shares of the information at the looks up to this one.
        alpha: Size of the whole test.
        sides: Of it.
        better: Which way is good.
    """
    critical = boundaries(spending, fractions_K, alpha=alpha, sides=sides)[-1]
    freedom = max(1.0, contrast.degrees_of_freedom)
    spread = float(student.isf(norm.sf(critical), freedom))
    one_tail = tail(contrast, sides=sides, better=better) / (2 if sides == "two" else 1)
    p_value = repeated_p_value(float(norm.isf(one_tail)), spending, fractions_K, sides=sides)
    return read_by_width(
        contrast, spread * contrast.standard_error, p_value, sides=sides, better=better
    )


@dataclass(frozen=True)
class _State:
    """The density of the score at the last look, on the nodes between the boundaries."""

    score_N: np.ndarray
    weight_N: np.ndarray


def _mirrored(state: _State | None) -> _State | None:
    return None if state is None else _State(-state.score_N, state.weight_N)


def _chance_above(state: _State | None, step: float, bound: float, drift: float = 0.0) -> float:
    """Return the chance that the next score is above a bound and none was before."""
    if state is None:
        return float(ndtr((drift * step - bound) / math.sqrt(step)))
    above = ndtr((state.score_N + drift * step - bound) / math.sqrt(step))
    return float(state.weight_N @ above)


def _crossing(state: _State | None, step: float, chance: float) -> float:
    """Return the bound that is crossed with a chance."""

    def off_by(bound: float) -> float:
        return _chance_above(state, step, bound) - chance

    if chance <= 0 or off_by(_FAR) > 0:
        return _FAR
    return float(root_scalar(off_by, bracket=(-_FAR, _FAR), xtol=1e-12).root)


def _steps(fractions_K: Sequence[float]) -> list[float]:
    """Return how much information comes before each look.

    Raises:
        ValueError: See `boundaries`.
    """
    steps = np.diff([0.0, *fractions_K])
    is_wrong = not len(steps) or steps[0] <= 0 or (steps[1:] < 0.99 * LEAST_STEP).any()
    if is_wrong or fractions_K[-1] > 1:
        raise ValueError(
            f"fractions must increase within (0, 1] by at least {LEAST_STEP:g}, not "
            f"{list(fractions_K)}"
        )
    return steps.tolist()


def _next_state(
    state: _State | None,
    fraction: float,
    step: float,
    after: float,
    bound: float,
    *,
    sides: Sides,
    drift: float = 0.0,
) -> _State:
    """Return the density of the score at a look where no boundary has been crossed.

    Args:
        state: At the look before.
        fraction: Share of the information.
        step: Of it, since the look before.
        after: Of it, until the next look.
        bound: Of the score.
        sides: Of the test.
        drift: Of the score.
    """
    reach, middle = _FAR * math.sqrt(fraction), drift * fraction
    high = min(bound, middle + reach)
    low = min(middle - reach, high - reach)
    if sides == "two":
        low = max(-bound, low)
    panels = max(_LEAST_PANELS, math.ceil((high - low) / (4 * math.sqrt(min(step, after)))))
    edges = np.linspace(low, high, panels + 1)
    half = (high - low) / (2 * panels)
    score = ((edges[:-1] + edges[1:])[:, None] / 2 + half * _NODES).ravel()
    weights = np.tile(half * _WEIGHTS, panels)
    if state is None:
        density = _normal_density(score - drift * step, step)
    else:
        moved = score[:, None] - state.score_N[None, :] - drift * step
        density = _normal_density(moved, step) @ state.weight_N
    return _State(score, weights * density)


def _normal_density(distance: np.ndarray, variance: float) -> np.ndarray:
    return np.exp(distance**2 / (-2 * variance)) / math.sqrt(2 * math.pi * variance)
