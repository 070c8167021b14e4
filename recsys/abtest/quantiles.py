"""Quantiles of values that belong to users, and how sure they are.

Shape suffixes: N values, U users.
"""

import math

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
    found = float(_at(ordered, quantile))
    below = np.bincount(place, values_N <= found, minlength=len(users))
    count = np.bincount(place, minlength=len(users)).astype(np.float64)
    share = ratio_estimate(Moments.of([below, count]))
    assert share is not None
    reach = _Z * math.sqrt(share.variance)
    low, high = (_at(ordered, min(1.0, max(0.0, quantile + step))) for step in (-reach, reach))
    return ArmEstimate(
        num_users=len(users), mean=found, variance=float((high - low) / (2 * _Z)) ** 2
    )


def _at(ordered_N: np.ndarray, quantile: float) -> float:
    """Return a quantile of ordered values, linear between neighbours as numpy has it."""
    place = quantile * (len(ordered_N) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered_N) - 1)
    return float(ordered_N[low] + (place - low) * (ordered_N[high] - ordered_N[low]))
