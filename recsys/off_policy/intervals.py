"""How sure an estimate is: bootstrap, normal, and empirical Bernstein.

Rows of a group (a user, else a list) are not independent: all three take groups as what is drawn.
Shape suffixes: N rows, G groups, R resamples, C columns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from recsys.off_policy.estimators import Contributions

# Groups beyond these are resampled by Poisson weights: drawing them one by one takes a minute.
MOST_DRAWN = 50_000
_GROUPS_AT_ONCE = 256
# A count is how many of these 16 random bits reach: the law of Poisson(1), to 1 / 65536.
_POISSON_STEPS = np.round(scipy.stats.poisson.cdf(np.arange(8), 1.0) * 2**16).astype(np.uint16)


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
    found: Mapping[str, Contributions],
    group: np.ndarray,
    *,
    seed: int,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Intervals]:
    """Return all intervals of estimates from the same rows, by the same resamples.

    Args:
        found: Of N rows, by name.
        group: What is drawn together, indices from 0, shape (N,).
        seed: Of resamples.
        num_resamples: How many.
        level: Chance with which an interval is to hold the value, in (0, 1).
    """
    z = float(scipy.stats.norm.ppf(0.5 + level / 2))
    resampled = bootstrap(
        list(found.values()), group, seed=seed, num_resamples=num_resamples, level=level
    )
    told = {}
    for (name, of), percentiles in zip(found.items(), resampled, strict=True):
        error, bernstein = standard_error(of, group), None
        if of.low is not None and of.high is not None:
            bernstein = empirical_bernstein(
                of.base + of.gain, group, low=of.low, high=of.high, level=level
            )
        told[name] = Intervals(
            standard_error=error,
            bootstrap=percentiles,
            normal=(of.value - z * error, of.value + z * error),
            empirical_bernstein=bernstein,
        )
    return told


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
    found: Sequence[Contributions],
    group: np.ndarray,
    *,
    seed: int,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> list[tuple[float, float]]:
    """Return percentiles of estimates over resamples of groups, drawn with replacement.

    Up to `MOST_DRAWN` groups, draws are those of `numpy.random.RandomState(seed)`, one resample
    after the other. Beyond, each group comes Poisson(1) times, which is the same but for the number
    of groups in a resample, and all estimates are ratios to that number.
    Source: Efron 1979; conventions of Open Bandit Pipeline, Saito et al. 2021; Poisson weights:
    Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data streams".

    Args:
        found: Of the same N rows; all are resampled alike.
        group: Indices from 0, shape (N,).
        seed: Of resamples.
        num_resamples: How many.
        level: Chance with which an interval is to hold the value.
    """
    columns = _Columns(group)
    places = [[columns.place(x) for x in (of.base, of.gain, of.share)] for of in found]
    num_rows_at, sums_GC = columns.place(np.ones(len(group))), columns.sums()
    weigh = _drawn if len(sums_GC) <= MOST_DRAWN else _weighed
    totals_RC = weigh(sums_GC, num_resamples, seed)
    num_rows, percents = totals_RC[:, num_rows_at], [50 * (1 - level), 50 * (1 + level)]
    told = []
    for at in places:
        base, gain, share = totals_RC[:, at].T
        # A resample without any weight says nothing: it stands where no correction is made.
        ratio = np.divide(gain, share, out=np.zeros(num_resamples), where=share > 0)
        low, high = np.percentile(base / num_rows + ratio, percents)
        told.append((float(low), float(high)))
    return told


def _drawn(sums_GC: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Return totals of columns over groups drawn with replacement, shape (R, C)."""
    rng, num_groups = np.random.RandomState(seed), len(sums_GC)
    totals_RC = np.empty((num_resamples, sums_GC.shape[1]))
    for number in range(num_resamples):
        drawn = np.bincount(rng.randint(0, num_groups, num_groups), minlength=num_groups)
        totals_RC[number] = drawn.astype(np.float64) @ sums_GC
    return totals_RC


def _weighed(sums_GC: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Return totals of columns over groups that come Poisson(1) times each, shape (R, C).

    Sums of a part are in 32 bits, of parts in 64: columns are made alike in size for it.
    """
    bits = np.random.SFC64(seed)
    size_C = np.abs(sums_GC).max(0)
    size_C[size_C == 0] = 1.0
    totals_RC = np.zeros((num_resamples, sums_GC.shape[1]))
    for start in range(0, len(sums_GC), _GROUPS_AT_ONCE):
        part = (sums_GC[start : start + _GROUPS_AT_ONCE] / size_C).astype(np.float32)
        num = num_resamples * len(part)
        draws = bits.random_raw(-(-num // 4)).view(np.uint16)[:num]
        counts = np.zeros(num, dtype=np.uint8)
        for step in _POISSON_STEPS:
            counts += draws >= step
        totals_RC += counts.astype(np.float32).reshape(num_resamples, len(part)) @ part
    return totals_RC * size_C


class _Columns:
    """Different columns over rows, each summed by group once, as many estimates share theirs."""

    def __init__(self, group: np.ndarray) -> None:
        self._group = group
        self._rows: list[np.ndarray] = []

    def place(self, column: np.ndarray) -> int:
        """Return where a column is, adding it if there is none like it."""
        for place, known in enumerate(self._rows):
            if np.array_equal(known, column):
                return place
        self._rows.append(column)
        return len(self._rows) - 1

    def sums(self) -> np.ndarray:
        """Return the sum of every column in each group, shape (G, C)."""
        return np.stack([np.bincount(self._group, column) for column in self._rows], axis=1)


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
