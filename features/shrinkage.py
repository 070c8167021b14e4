"""Means of small groups, pulled towards the mean of all by as much as the data itself asks for.

A group's mean is its own level plus noise. How much groups differ and how noisy one observation is
are estimated from all groups together; a group of few observations is then mostly the prior, one of
many mostly itself, and both have an honest interval.

Sources: Searle, Casella and McCulloch 1992, "Variance Components", the one-way random model with
unequal group sizes; Morris 1983, "Parametric Empirical Bayes Inference".
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

# Two-sided 95% of a normal distribution.
_Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Names of the columns that say all that is needed of a group; sums of them merge groups.

    Attributes:
        count: Observations.
        total: Their sum.
        squares: Sum of their squares.
    """

    count: str
    total: str
    squares: str


@dataclass(frozen=True, kw_only=True)
class GroupPrior:
    """How group means are spread, and observations within a group.

    Attributes:
        mean: Of the groups' levels; None where nothing was observed at all.
        between: Variance of the groups' levels.
        within: Variance of one observation about its group's level.
        mean_variance: Of the estimate of `mean`.
    """

    mean: float | None
    between: float
    within: float
    mean_variance: float = 0.0

    def mean_of(self, moments: Moments) -> pl.Expr:
        """Return the expected level of a group; the prior mean where it has no observation.

        Null where `mean` is None.
        """
        if self.mean is None:
            return pl.lit(None, dtype=pl.Float64)
        count, total = pl.col(moments.count), pl.col(moments.total)
        own = pl.when(count > 0).then(total / count).otherwise(self.mean)
        return self.mean + self.weight_of(moments) * (own - self.mean)

    def weight_of(self, moments: Moments) -> pl.Expr:
        """Return how much of a group's level is its own, within 0..1; the rest is the prior's."""
        if self.between == 0.0:
            return pl.lit(0.0)
        count = pl.col(moments.count).fill_null(0)
        if self.within == 0.0:
            return (count > 0).cast(pl.Float64)
        return count * self.between / (count * self.between + self.within)

    def deviation_of(self, moments: Moments) -> pl.Expr:
        """Return the standard deviation of a group's level about `mean_of`."""
        if self.mean is None:
            return pl.lit(None, dtype=pl.Float64)
        rest = 1.0 - self.weight_of(moments)
        return (self.between * rest + self.mean_variance * rest**2).sqrt()

    def interval_of(self, moments: Moments, low: float, high: float) -> tuple[pl.Expr, pl.Expr]:
        """Return the ends of the 95% interval of a group's level, kept within `low`..`high`.

        How uncertain the two variances themselves are is left out.
        """
        mean, reach = self.mean_of(moments), _Z * self.deviation_of(moments)
        return (mean - reach).clip(low, high), (mean + reach).clip(low, high)


def group_prior(groups: pl.DataFrame, moments: Moments) -> GroupPrior:
    """Estimate the prior from all groups by the method of moments; see `prior_of`.

    Args:
        groups: One row a group.
        moments: Its columns; groups without observations are left out.
    """
    columns = (moments.count, moments.total, moments.squares)
    count, total, squares = (groups[name].cast(pl.Float64).to_numpy() for name in columns)
    return prior_of(count, total, squares)


def prior_of(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> GroupPrior:
    """Estimate the prior of groups from their moments.

    With G groups of n_g observations, N in all, SSW the sum of squares within groups, SSA that of
    group means about the mean of all, weighted by n_g:
    within = SSW / (N - G), between = max(0, (SSA / (G - 1) - within) / n_0),
    n_0 = (N - sum n_g^2 / N) / (G - 1). The prior mean weights a group by
    1 / (between + within / n_g).

    Args:
        count: Observations of each group, shape (G,); groups without any are left out.
        total: Their sums, shape (G,).
        squares: Sums of their squares, shape (G,).

    Returns:
        The prior. Where groups do not differ more than by chance `between` is 0, and so it is for a
        single group, which then is its own prior; where no group has two observations, what they
        differ by is taken as noise.
    """
    seen = count > 0
    if not seen.any():
        return GroupPrior(mean=None, between=0.0, within=0.0)
    n, total, squares = count[seen], total[seen], squares[seen]
    own, all_n, num_groups = total / n, float(n.sum()), len(n)
    overall = float(total.sum() / all_n)
    spread = float((n * (own - overall) ** 2).sum())
    inside = max(0.0, float((squares - total * own).sum()))
    if all_n - num_groups < 1e-9 or num_groups == 1:
        noise = (inside + spread) / max(1.0, all_n - 1)
        return GroupPrior(mean=overall, between=0.0, within=noise, mean_variance=noise / all_n)
    within = inside / (all_n - num_groups)
    typical = (all_n - float((n**2).sum()) / all_n) / (num_groups - 1)
    between = max(0.0, (spread / (num_groups - 1) - within) / typical)
    if between == 0.0:
        return GroupPrior(mean=overall, between=0.0, within=within, mean_variance=within / all_n)
    weight = 1.0 / (between + within / n)
    mean = float((weight * own).sum() / weight.sum())
    return GroupPrior(
        mean=mean, between=between, within=within, mean_variance=1.0 / float(weight.sum())
    )
