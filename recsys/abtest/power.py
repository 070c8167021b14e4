"""How many users an experiment needs, and what it can find with those it gets."""

import math

from scipy.optimize import root_scalar
from scipy.stats import norm

from recsys.abtest.always_valid import half_width
from recsys.abtest.effects import Sides
from recsys.abtest.group_sequential import boundaries, crossing_chance
from recsys.abtest.plan_sections import SequentialSection

_MOST_USERS = 1e15


def num_users_needed(
    *,
    variance: float,
    effect: float,
    alpha: float,
    power: float,
    sides: Sides,
    treatment_share: float = 0.5,
    sequential: SequentialSection | None = None,
) -> int:
    """Return how many users both arms need together.

    N = (z_alpha + z_beta)^2 Var / (share (1 - share)) / effect^2, times what looks cost. Source:
    Kohavi, Tang and Xu 2020, "Trustworthy online controlled experiments", chapter 17.

    >>> num_users_needed(variance=1.0, effect=0.2, alpha=0.05, power=0.8, sides="two")
    785

    Args:
        variance: Of the metric over users, alike in both arms; for CUPED times 1 - rho^2.
        effect: To be found, in the metric's units; not 0.
        alpha: Size of the test.
        power: Chance to find the effect.
        sides: Of the test.
        treatment_share: Of users, in (0, 1).
        sequential: How the data are looked at; None for once.

    Raises:
        ValueError: The effect is zero.
    """
    if effect == 0:
        raise ValueError("an effect of zero cannot be found with any number of users")
    per_user = variance / (treatment_share * (1 - treatment_share))
    if sequential is not None and sequential.method == "always-valid":
        return _num_users_always_valid(per_user, effect, alpha, power, sequential.tuning)
    drift = _drift_needed(alpha, power, sides, sequential)
    return math.ceil(drift**2 * per_user / effect**2 - 1e-9)


def minimum_detectable_effect(
    *,
    variance: float,
    num_users: float,
    alpha: float,
    power: float,
    sides: Sides,
    treatment_share: float = 0.5,
    sequential: SequentialSection | None = None,
) -> float:
    """Return the effect that is found with chance `power`; the inverse of `num_users_needed`."""
    per_user = variance / (treatment_share * (1 - treatment_share))
    error = math.sqrt(per_user / num_users)
    if sequential is not None and sequential.method == "always-valid":
        # At the end of the experiment, whatever earlier looks may add.
        width = half_width(error, round(num_users), alpha=alpha, tuning=sequential.tuning)
        return width + float(norm.ppf(power)) * error
    return _drift_needed(alpha, power, sides, sequential) * error


def _drift_needed(
    alpha: float, power: float, sides: Sides, sequential: SequentialSection | None
) -> float:
    """Return the effect in standard errors of the end at which the test has its power."""
    critical = float(norm.isf(alpha / 2 if sides == "two" else alpha))
    fixed = critical + float(norm.ppf(power))
    if sequential is None or sequential.method not in ("obrien-fleming", "pocock"):
        return fixed
    looks = sequential.looks
    bounds = boundaries(sequential.method, looks, alpha=alpha, sides=sides)

    def lacks(drift: float) -> float:
        return crossing_chance(looks, bounds, sides=sides, drift=drift) - power

    return float(root_scalar(lacks, bracket=(0.5 * fixed, 2 * fixed), xtol=1e-10).root)


def _num_users_always_valid(
    per_user: float, effect: float, alpha: float, power: float, tuning: float
) -> int:
    def lacks(log_users: float) -> float:
        users = math.exp(log_users)
        error = math.sqrt(per_user / users)
        width = half_width(error, max(1, round(users)), alpha=alpha, tuning=tuning)
        return width + float(norm.ppf(power)) * error - abs(effect)

    high = math.log(_MOST_USERS)
    if lacks(0.0) <= 0:
        return 1
    if lacks(high) > 0:
        raise ValueError(f"an effect of {effect} needs more than {_MOST_USERS:g} users")
    return math.ceil(math.exp(root_scalar(lacks, bracket=(0.0, high), xtol=1e-9).root))
