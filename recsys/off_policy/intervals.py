"""How sure an estimate is: bootstrap, normal, and empirical Bernstein.

Rows of a group (a user, else a list) are not independent: all three take groups as what is drawn.
Shape suffixes: N rows, G groups, R resamples of a part.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.stats

from recsys.off_policy.estimators import Contributions

_DRAWN_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Three intervals of one estimate.

    Attributes:
        standard_error: By the delta method, over groups.
        bootstrap: Percentiles of resampled estimates.
        normal: value ± z standard errors.
        empirical_bernstein: Holds for any distribution within the stated range, so it is wide;
            None where the estimate is no mean of independent rows.
    """

    standard_error: float
    bootstrap: tuple[float, float]
    normal: tuple[float, float]
    empirical_bernstein: tuple[float, float] | None


def intervals(
    found: Contributions,
    group: np.ndarray,
    *,
    seed: int,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> Intervals:
    """Return all intervals of an estimate.

    Args:
        found: Of N rows.
        group: What is drawn together, indices from 0, shape (N,).
        seed: Of resamples.
        num_resamples: How many.
        level: Chance with which an interval is to hold the value, in (0, 1).
    """
    error = standard_error(found, group)
    reach = float(scipy.stats.norm.ppf(0.5 + level / 2)) * error
    value = found.value
    bernstein = None
    if found.low is not None and found.high is not None:
        bernstein = empirical_bernstein(
            found.base + found.gain, group, low=found.low, high=found.high, level=level
        )
    return Intervals(
        standard_error=error,
        bootstrap=bootstrap(found, group, seed=seed, num_resamples=num_resamples, level=level),
        normal=(value - reach, value + reach),
        empirical_bernstein=bernstein,
    )


def standard_error(found: Contributions, group: np.ndarray) -> float:
    """Return the standard error of an estimate over groups, 0 where there is one group.

    The square root of G / (G - 1) times the sum of squared influence of groups, over N.
    Source: the delta method with clusters, Liang and Zeger 1986.
    """
    influence_G = np.bincount(group, found.influence)
    num = len(influence_G)
    if num < 2:
        return 0.0
    return math.sqrt(num / (num - 1) * float((influence_G**2).sum())) / len(group)


def bootstrap(
    found: Contributions,
    group: np.ndarray,
    *,
    seed: int,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return percentiles of the estimate over resamples of groups, drawn with replacement.

    Draws are those of `numpy.random.RandomState(seed)`, one resample after the other, in parts of
    bounded memory. Source: Efron 1979; conventions of Open Bandit Pipeline, Saito et al. 2021.

    Args:
        found: Of N rows.
        group: Indices from 0, shape (N,).
        seed: Of resamples.
        num_resamples: How many.
        level: Chance with which the interval is to hold the value.
    """
    is_mean = bool((found.share == 1).all())
    of_rows = [found.base + found.gain] if is_mean else [found.base, found.gain, found.share]
    num_groups = int(group.max()) + 1
    is_single = num_groups == len(group)
    order = np.argsort(group, kind="stable") if is_single else group
    sums = [x[order] if is_single else np.bincount(group, x) for x in of_rows]
    sizes = np.bincount(group).astype(np.float64)
    rng = np.random.RandomState(seed)
    values = np.empty(num_resamples)
    at_once = max(1, _DRAWN_AT_ONCE // num_groups)
    for start in range(0, num_resamples, at_once):
        stop = min(start + at_once, num_resamples)
        draws_RG = rng.randint(0, num_groups, (stop - start, num_groups))
        totals = [x[draws_RG].sum(1) for x in sums]
        num_rows = num_groups if is_single else sizes[draws_RG].sum(1)
        values[start:stop] = totals[0] / num_rows
        if not is_mean:
            # A resample without any weight says nothing: it stands where no correction is made.
            some = totals[2] > 0
            values[start:stop] += np.divide(
                totals[1], totals[2], out=np.zeros(stop - start), where=some
            )
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def empirical_bernstein(
    values: np.ndarray, group: np.ndarray, *, low: float, high: float, level: float = 0.95
) -> tuple[float, float]:
    """Return an interval of a mean that holds for every distribution within a range.

    mean ± sqrt(2 V ln(4 / d) / n) + 7 (high - low) ln(4 / d) / (3 (n - 1)), V the variance with
    n - 1, d = 1 - level, half of it on each side; cut to the range.
    Source: Maurer and Pontil 2009, "Empirical Bernstein bounds and sample variance penalization",
    theorem 4. With groups of several rows, n are groups and a value is their sum over the mean
    size, whose range is that of the largest group.

    Args:
        values: Shape (N,).
        group: Indices from 0, shape (N,).
        low: Least value there can be.
        high: Greatest.
        level: Chance with which the interval holds the mean.
    """
    sizes = np.bincount(group)
    num, of_groups = len(sizes), np.bincount(group, values) / sizes.mean()
    if num < 2:
        return low, high
    width = (max(high, 0.0) - min(low, 0.0) if sizes.max() > 1 else high - low) * (
        sizes.max() / sizes.mean()
    )
    log_term = math.log(4 / (1 - level))
    reach = math.sqrt(2 * float(of_groups.var(ddof=1)) * log_term / num)
    reach += 7 * width * log_term / (3 * (num - 1))
    mean = float(values.mean())
    return float(max(low, mean - reach)), float(min(high, mean + reach))
