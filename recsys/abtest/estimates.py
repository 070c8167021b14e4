"""What an arm's mean is and how sure, from moments: plain, ratio, CUPED, post-stratified.

Shape suffixes: U users of an arm, C columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ArmEstimate:
    """The mean of a metric in one arm.

    Attributes:
        num_users: In the arm.
        mean: Of the metric, in its units.
        variance: Of that mean as an estimate, the square of its standard error.
    """

    num_users: int
    mean: float
    variance: float


@dataclass(frozen=True)
class Moments:
    """Count, means and covariances of some columns over the users of an arm.

    Attributes:
        num_users: At least one.
        mean_C: Shape (C,).
        covariance_CC: With N - 1 as divisor, shape (C, C); zeros for one user.
    """

    num_users: int
    mean_C: np.ndarray
    covariance_CC: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[np.ndarray]) -> "Moments":
        """Measure columns of one length, each of shape (U,)."""
        means = np.array([column.mean() for column in columns], dtype=np.float64)
        centred = [column - mean for column, mean in zip(columns, means, strict=True)]
        num_users, size = len(columns[0]), len(columns)
        covariance = np.zeros((size, size))
        for row in range(size):
            for column in range(row + 1):
                product = float(centred[row] @ centred[column]) / max(1, num_users - 1)
                covariance[row, column] = covariance[column, row] = product
        return cls(num_users, means, covariance)

    @classmethod
    def of_sums(cls, num_users: int, total: float, sum_squares: float) -> "Moments":
        """Take a column that is known by its sum and its sum of squares."""
        variance = (sum_squares - total * total / num_users) / max(1, num_users - 1)
        return cls(num_users, np.array([total / num_users]), np.array([[max(0.0, variance)]]))


def mean_estimate(moments: Moments) -> ArmEstimate:
    """Estimate the mean of the first column."""
    return ArmEstimate(
        num_users=moments.num_users,
        mean=float(moments.mean_C[0]),
        variance=float(moments.covariance_CC[0, 0]) / moments.num_users,
    )


def ratio_estimate(moments: Moments) -> ArmEstimate | None:
    """Estimate a sum over users by another sum, the user as cluster.

    R = mean(Y) / mean(D), Var(R) = (s_YY - 2 R s_YD + R^2 s_DD) / (n mean(D)^2). Source: Deng,
    Knoblich and Lu 2018, "Applying the delta method in metric analytics", section 3.

    Args:
        moments: Of numerator and denominator.

    Returns:
        The ratio; None where the denominator is zero throughout.
    """
    numerator, denominator = moments.mean_C[:2]
    if denominator == 0:
        return None
    ratio = numerator / denominator
    weights = np.array([1.0, -ratio]) / denominator
    variance = weights @ moments.covariance_CC[:2, :2] @ weights / moments.num_users
    return ArmEstimate(
        num_users=moments.num_users, mean=float(ratio), variance=max(0.0, float(variance))
    )


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """Both arms after an adjustment by what users did before.

    Attributes:
        control: Adjusted.
        treatment: Adjusted.
        theta: Slope on the covariate.
        variance_cut: Share of the variance of the difference that is gone, in [0, 1] but for noise.
    """

    control: ArmEstimate
    treatment: ArmEstimate
    theta: float
    variance_cut: float


def cuped(control: Moments, treatment: Moments, *, is_ratio: bool = False) -> Adjusted | None:
    """Adjust means by a covariate from before the experiment.

    Y - theta (X - mean X) with theta = Cov(Y, X) / Var(X), pooled within arms: its variance is
    (1 - rho^2) Var(Y). Source: Deng, Xu, Kohavi and Walker 2013, "Improving the sensitivity of
    online controlled experiments by utilizing pre-experiment data", section 3.2; of a ratio, both
    it and its covariate are linearised about the arm's means (its appendix B).

    Args:
        control: Of metric and covariate; of a ratio numerator, denominator, then those before.
        treatment: The same.
        is_ratio: Whether they have four columns.

    Returns:
        The adjusted arms; None where the covariate does not vary or a denominator is zero.
    """
    arms = [_linear(moments, is_ratio=is_ratio) for moments in (control, treatment)]
    if arms[0] is None or arms[1] is None:
        return None
    lines = [arms[0], arms[1]]
    num_users = np.array([control.num_users, treatment.num_users], dtype=np.float64)
    weighted = [(n - 1) * line.covariance for n, line in zip(num_users, lines, strict=True)]
    within = np.sum(weighted, axis=0) / max(1.0, num_users.sum() - 2)
    if within[1, 1] <= 0:
        return None
    theta = within[0, 1] / within[1, 1]
    pooled = float(num_users @ [line.before for line in lines] / num_users.sum())
    weights = np.array([1.0, -theta])
    adjusted = [
        ArmEstimate(
            num_users=int(n),
            mean=float(line.mean - theta * (line.before - pooled)),
            variance=max(0.0, float(weights @ line.covariance @ weights) / n),
        )
        for n, line in zip(num_users, lines, strict=True)
    ]
    plain = sum(line.covariance[0, 0] / n for n, line in zip(num_users, lines, strict=True))
    left = sum(arm.variance for arm in adjusted)
    return Adjusted(
        control=adjusted[0],
        treatment=adjusted[1],
        theta=float(theta),
        variance_cut=1 - left / plain if plain > 0 else 0.0,
    )


def post_stratified(
    control: Sequence[Moments], treatment: Sequence[Moments], *, is_ratio: bool = False
) -> tuple[ArmEstimate, ArmEstimate] | None:
    """Weight the means of strata by the strata's shares of all users.

    Source: Miratrix, Sekhon and Yu 2013, "Adjusting treatment effect estimates by
    post-stratification in randomized experiments".

    Args:
        control: One a stratum.
        treatment: Of the same strata in the same order.
        is_ratio: Whether columns are numerator and denominator, whose means are weighted each.

    Returns:
        Control and treatment; None where a stratum has fewer than two users of an arm, or a
        denominator is zero.
    """
    pairs = list(zip(control, treatment, strict=True))
    if not pairs or any(min(a.num_users, b.num_users) < 2 for a, b in pairs):
        return None
    sizes = np.array([a.num_users + b.num_users for a, b in pairs], dtype=np.float64)
    shares = sizes / sizes.sum()
    found = [_weighted(arm, shares, is_ratio=is_ratio) for arm in (control, treatment)]
    if found[0] is None or found[1] is None:
        return None
    return found[0], found[1]


@dataclass(frozen=True)
class _Line:
    """A metric and its covariate, linear in the user: means, and covariance over users."""

    mean: float
    before: float
    covariance: np.ndarray


def _linear(moments: Moments, *, is_ratio: bool) -> _Line | None:
    if not is_ratio:
        return _Line(
            float(moments.mean_C[0]), float(moments.mean_C[1]), moments.covariance_CC[:2, :2]
        )
    if moments.mean_C[1] == 0 or moments.mean_C[3] == 0:
        return None
    weights = np.zeros((2, 4))
    means = []
    for row, (top, bottom) in enumerate(((0, 1), (2, 3))):
        ratio = float(moments.mean_C[top] / moments.mean_C[bottom])
        weights[row, [top, bottom]] = np.array([1.0, -ratio]) / moments.mean_C[bottom]
        means.append(ratio)
    return _Line(means[0], means[1], weights @ moments.covariance_CC @ weights.T)


def _weighted(
    strata: Sequence[Moments], shares: np.ndarray, *, is_ratio: bool
) -> ArmEstimate | None:
    size = 2 if is_ratio else 1
    num_users = sum(moments.num_users for moments in strata)
    mean = sum(w * moments.mean_C[:size] for w, moments in zip(shares, strata, strict=True))
    # As if of one sample of all users, so that the formulas of one sample apply.
    covariance = num_users * sum(
        w**2 * moments.covariance_CC[:size, :size] / moments.num_users
        for w, moments in zip(shares, strata, strict=True)
    )
    whole = Moments(num_users, np.asarray(mean), np.asarray(covariance))
    return ratio_estimate(whole) if is_ratio else mean_estimate(whole)
