"""What share of negative reviews to expect: empirical-Bayes priors, and how far shares wander.

Shape suffixes: S series, C cells (a period of a series).
"""

import numpy as np
import polars as pl

from features.shrinkage import prior_of

_LEAST_STRENGTH = 2.0
_LEAST_GROUPS = 5
_NO_LIMIT = 1e6


def beta_prior(num_S: np.ndarray, bad_S: np.ndarray, most: float) -> tuple[float, float]:
    """Return mean and strength of the beta distribution from which levels are drawn.

    By the moments of `features.shrinkage.prior_of`: strength = m (1 - m) / between - 1.

    Args:
        num_S: Reviews of each series.
        bad_S: Negative ones among them.
        most: Of how many reviews the prior is worth at most.
    """
    num_S, bad_S = num_S.astype(np.float64), bad_S.astype(np.float64)
    # The squares of zeros and ones are themselves.
    prior = prior_of(num_S, bad_S, bad_S)
    if prior.mean is None:
        return 0.5, _LEAST_STRENGTH
    # One more good and one more bad review: no share is 0 or 1 for certain.
    total = float(np.sum(num_S))
    mean = (prior.mean * total + 0.5) / (total + 1.0)
    if prior.between <= 0:
        return mean, most
    return mean, float(np.clip(mean * (1 - mean) / prior.between - 1, _LEAST_STRENGTH, most))


def group_priors(
    group_S: np.ndarray,
    num_S: np.ndarray,
    bad_S: np.ndarray,
    *,
    least_reviews: int,
    most: float,
    asked: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and strength for each series, from the series of its group.

    A group of fewer than five series or `least_reviews` reviews takes the prior of all.

    Args:
        group_S: A number for the group of each series, -1 for none.
        num_S: Reviews of each series.
        bad_S: Negative ones among them.
        least_reviews: See above.
        most: See `beta_prior`.
        asked: Places of the series that are asked for; None for all.

    Returns:
        Two arrays, of as many as are asked for.
    """
    wanted = group_S if asked is None else group_S[asked]
    of_all = beta_prior(num_S, bad_S, most)
    priors: dict[int, tuple[float, float]] = {}
    for group in np.unique(wanted).tolist():
        own = group_S == group
        num, bad = num_S[own], bad_S[own]
        is_known = group >= 0 and (num > 0).sum() >= _LEAST_GROUPS and num.sum() >= least_reviews
        priors[group] = beta_prior(num, bad, most) if is_known else of_all
    found = np.array([priors[group] for group in wanted.tolist()]).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def wandering(series_C: np.ndarray, num_C: np.ndarray, bad_C: np.ndarray) -> float:
    """Return of how many reviews a series' past can be worth, as shares wander between periods.

    With p_c the share of a cell, p its series' share, v the variance between the periods of a
    series: sum n_c (p_c - p)^2 is expected to be v sum n_c (1 - n_c / n) plus binomial noise of
    p (1 - p) sum (1 - n_c / n); the past is worth m (1 - m) / v - 1 reviews. Of the v of all series
    it is the median, weighted by sum n_c (1 - n_c / n): series that really changed must not make
    the others seem to wander.

    Args:
        series_C: Number of the series of each cell.
        num_C: Reviews of it, above 0.
        bad_C: Negative ones among them.

    Returns:
        At least 20: fewer would be no past at all; a million where shares do not wander.
    """
    cells = pl.DataFrame({"series": series_C, "num": num_C, "bad": bad_C})
    both = cells.with_columns(
        n=pl.col("num").sum().over("series"),
        k=pl.col("bad").sum().over("series"),
        cells=pl.len().over("series"),
    ).filter((pl.col("n") > 1) & (pl.col("cells") > 1))
    if both.is_empty():
        return _NO_LIMIT
    share = pl.col("k") / pl.col("n")
    rest = 1 - pl.col("num") / pl.col("n")
    told = (
        both.group_by("series", maintain_order=True)
        .agg(
            spread=(pl.col("num") * (pl.col("bad") / pl.col("num") - share) ** 2).sum(),
            noise=(share * (1 - share) * pl.col("n") / (pl.col("n") - 1) * rest).sum(),
            weight=(pl.col("num") * rest).sum(),
        )
        .with_columns(v=(pl.col("spread") - pl.col("noise")) / pl.col("weight"))
        .sort("v", "series")
    )
    half = told["weight"].sum() / 2
    between = told.filter(pl.col("weight").cum_sum() >= half)["v"][0]
    mean = float(bad_C.sum() / num_C.sum())
    if between <= 0:
        return _NO_LIMIT
    return float(np.clip(mean * (1 - mean) / between - 1, 20.0, _NO_LIMIT))
