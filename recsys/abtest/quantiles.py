"""Quantiles of values that belong to users, and how sure they are.

Shape suffixes: N values, U users.
"""

import math
from collections.abc import Callable

import numpy as np

from recsys.abtest.estimates import ArmEstimate, Moments, ratio_estimate

_Z = 1.959963984540054


def quantile_estimate(
    values_N: np.ndarray, quantile: float, *, user_N: np.ndarray | None = None
) -> ArmEstimate | None:
    """Estimate a quantile; values of one user hang together.

    The share of values at or below the quantile is a ratio with the user as cluster, of standard
    error s; the quantiles at `quantile` +- 1.96 s are then 2 x 1.96 standard errors apart, which
    needs no density. Source: Woodruff 1952, "Confidence intervals for medians and other position
    measures"; with clusters, Deng, Knoblich and Lu 2018, "Applying the delta method in metric
    analytics", section 4.2.

    Args:
        values_N: In any order, shape (N,).
        quantile: In (0, 1).
        user_N: Numbers of users, shape (N,); None where each value is of another user.

    Returns:
        The quantile, its variance 0 where it lies on a value so frequent that it cannot move; None
        where there are fewer than two users.
    """
    if user_N is None:
        user_N = np.arange(len(values_N))
    users, place = np.unique(user_N, return_inverse=True)
    if len(users) < 2:
        return None
    ordered = np.sort(values_N)
    count = np.bincount(place, minlength=len(users)).astype(np.float64)

    def share(found: float) -> Moments:
        return Moments.of([np.bincount(place, values_N <= found, minlength=len(users)), count])

    return woodruff(lambda at: _at(ordered, at), share, quantile)


def woodruff(
    at: Callable[[float], float], share: Callable[[float], Moments], quantile: float
) -> ArmEstimate:
    """Estimate a quantile from a way to read quantiles, and one to count what is below a value.

    Args:
        at: Returns the quantile of all values, given its share.
        share: Returns moments over users of their values at or below a value, and of all of theirs.
        quantile: In (0, 1).
    """
    found = at(quantile)
    moments = share(found)
    below = ratio_estimate(moments)
    assert below is not None
    reach = _Z * math.sqrt(below.variance)
    low, high = (at(min(1.0, max(0.0, quantile + step))) for step in (-reach, reach))
    return ArmEstimate(
        num_users=moments.num_users, mean=found, variance=float((high - low) / (2 * _Z)) ** 2
    )


def _at(ordered_N: np.ndarray, quantile: float) -> float:
    """Return a quantile of ordered values, linear between neighbours as numpy has it."""
    place = quantile * (len(ordered_N) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered_N) - 1)
    return float(ordered_N[low] + (place - low) * (ordered_N[high] - ordered_N[low]))
