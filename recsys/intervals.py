"""How sure a mean over users is, and whether two systems differ on the same users."""

from dataclasses import dataclass

import numpy as np

_95 = (0.025, 0.975)
_FLIPS_AT_ONCE = 100


def mean_interval(
    values: np.ndarray,
    *,
    user: np.ndarray | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
) -> tuple[float, float]:
    """Return the 95% bootstrap interval of a mean, by percentiles; users are what is drawn.

    Source: Efron 1979, "Bootstrap methods".

    Args:
        values: At least one, shape (N,).
        user: Whose each value is, any numbers, shape (N,); all values of a user are drawn together.
            None where each is of another user.
        seed: Of the draws.
        num_resamples: Draws of as many users as there are.
    """
    sums, counts = values, np.ones(len(values))
    if user is not None:
        place = np.unique(user, return_inverse=True)[1]
        sums, counts = np.bincount(place, values), np.bincount(place)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(sums), len(sums)) for _ in range(num_resamples))
    means = [sums[draw].sum() / counts[draw].sum() for draw in draws]
    low, high = np.quantile(means, _95)
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """One system less another on the same users.

    Attributes:
        difference: Of the means.
        low: Lower end of its 95% bootstrap interval over users.
        high: Upper end.
        p_value: Two-sided, of the hypothesis that both are alike.
    """

    difference: float
    low: float
    high: float
    p_value: float


def paired_difference(
    ours: np.ndarray, theirs: np.ndarray, *, seed: int = 0, num_flips: int = 5000
) -> PairedDifference:
    """Compare two systems user by user, by Fisher's randomisation test.

    Were both alike, each user's difference might as well have the other sign: the p-value is the
    share of random signs, the observed ones among them, whose mean is at least as far from zero.
    Source: Smucker, Allan and Carterette 2007, "A comparison of statistical significance tests for
    information retrieval evaluation".

    Args:
        ours: One value a user, shape (B,).
        theirs: Of the same users in the same order, shape (B,).
        seed: Of resamples and signs.
        num_flips: Random signs that are tried.

    Raises:
        ValueError: If the shapes differ, or there is no user.
    """
    if ours.shape != theirs.shape or not len(ours):
        raise ValueError(f"one value a user and system is needed: {ours.shape}, {theirs.shape}")
    gain = ours - theirs
    low, high = mean_interval(gain, seed=seed)
    # Users of no difference have no sign.
    told = gain[gain != 0]
    rng = np.random.default_rng(seed)
    observed, as_far = abs(gain.sum()), 1
    for start in range(0, num_flips, _FLIPS_AT_ONCE):
        shape = (min(_FLIPS_AT_ONCE, num_flips - start), len(told))
        signs = rng.integers(0, 2, shape, dtype=np.int8)
        sums = 2.0 * (signs @ told) - told.sum()
        as_far += int((np.abs(sums) >= observed - 1e-9).sum())
    return PairedDifference(
        difference=float(gain.mean()), low=low, high=high, p_value=as_far / (num_flips + 1)
    )
