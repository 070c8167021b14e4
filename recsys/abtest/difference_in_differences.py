"""Effects of what was switched on at a time for some units: before and after, treated and not.

Shape suffixes: U units, P periods, K leads, N values.
"""

from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from statsmodels.stats.multivariate import test_mvmean_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from recsys.errors import ExperimentLogError

_NUM_BLOCKS = 4


@dataclass(frozen=True, kw_only=True)
class DifferenceInDifferences:
    """An effect and how sure it is.

    Attributes:
        effect: On a treated unit in a period, in the units of the values.
        standard_error: Robust against dependence within units.
        low: Lower end of the interval.
        high: Upper end.
        p_value: Two-sided, of no effect.
        total: Over all treated units and periods after the start.
        total_low: Lower end of its interval.
        total_high: Upper end.
        pretrend_p: Of the hypothesis that treated units and controls moved alike before; None
            where that was not tested.
    """

    effect: float
    standard_error: float
    low: float
    high: float
    p_value: float
    total: float
    total_low: float
    total_high: float
    pretrend_p: float | None


def difference_in_differences(
    sales_UP: np.ndarray, is_treated_U: np.ndarray, *, num_before: int, alpha: float
) -> DifferenceInDifferences:
    """Estimate an effect with fixed effects of units and periods, robust within units.

    In a panel without gaps that regression's effect is the difference of units' changes from before
    to after, and its cluster-robust error with the correction for few clusters is Welch's. Source:
    Bertrand, Duflo and Mullainathan 2004, "How much should we trust differences-in-differences
    estimates?"; Imbens and Kolesar 2016, "Robust standard errors in small samples", section 2.

    Whether units moved alike before is Hotelling's test of up to three leads, each the mean of a
    quarter of those periods less that of the last quarter.

    Args:
        sales_UP: Shape (U, P), every unit in every period.
        is_treated_U: Shape (U,).
        num_before: Periods before the start, at least 2.
        alpha: 1 less the coverage of the interval.

    Raises:
        ExperimentLogError: Fewer than two units are treated, or are not.
    """
    num_treated = int(is_treated_U.sum())
    if min(num_treated, len(is_treated_U) - num_treated) < 2:
        raise ExperimentLogError(
            f"{num_treated} of {len(is_treated_U)} units are treated: at least two and two others "
            'are needed; for a single one use method = "synthetic-control"'
        )
    num_after = sales_UP.shape[1] - num_before
    change_U = sales_UP[:, num_before:].mean(1) - sales_UP[:, :num_before].mean(1)
    compared = CompareMeans(
        DescrStatsW(change_U[is_treated_U]), DescrStatsW(change_U[~is_treated_U])
    )
    low, high = compared.tconfint_diff(alpha, usevar="unequal")
    effect = float(change_U[is_treated_U].mean() - change_U[~is_treated_U].mean())
    scale = num_treated * num_after
    return DifferenceInDifferences(
        effect=effect,
        standard_error=float(np.asarray(compared.std_meandiff_separatevar)),
        low=float(low),
        high=float(high),
        p_value=float(compared.ttest_ind(usevar="unequal")[1]),
        total=effect * scale,
        total_low=float(low) * scale,
        total_high=float(high) * scale,
        pretrend_p=_pretrend_p(sales_UP[:, :num_before], is_treated_U),
    )


def mean_difference_in_differences(
    values_N: np.ndarray,
    is_treated_N: np.ndarray,
    is_after_N: np.ndarray,
    unit_N: np.ndarray,
    *,
    alpha: float,
) -> DifferenceInDifferences:
    """Estimate the change of a mean of values that units have more or fewer of.

    Least squares on treated, after, and both, errors clustered by unit; the total is the effect
    times the treated values after the start.

    Args:
        values_N: Such as polarities of reviews, shape (N,).
        is_treated_N: Whether of a treated unit, shape (N,).
        is_after_N: Whether after the start, shape (N,).
        unit_N: Number of the unit, shape (N,).
        alpha: 1 less the coverage of the interval.
    """
    treated, after = is_treated_N.astype(np.float64), is_after_N.astype(np.float64)
    design = np.column_stack([treated * after, treated, after, np.ones(len(values_N))])
    fit = sm.OLS(values_N, design).fit(cov_type="cluster", cov_kwds={"groups": unit_N}, use_t=True)
    low, high = fit.conf_int(alpha)[0]
    effect, scale = float(fit.params[0]), int((is_treated_N & is_after_N).sum())
    return DifferenceInDifferences(
        effect=effect,
        standard_error=float(fit.bse[0]),
        low=float(low),
        high=float(high),
        p_value=float(fit.pvalues[0]),
        total=effect * scale,
        total_low=float(low) * scale,
        total_high=float(high) * scale,
        pretrend_p=None,
    )


def _pretrend_p(before_UP: np.ndarray, is_treated_U: np.ndarray) -> float | None:
    """Test whether leads are alike; None where they do not vary."""
    blocks = [block.mean(1) for block in np.array_split(before_UP, _NUM_BLOCKS, axis=1)]
    # As many leads as the units allow, the earliest ones.
    num_leads = min(_NUM_BLOCKS - 1, len(before_UP) - 3)
    leads_UK = np.column_stack([block - blocks[-1] for block in blocks[:num_leads]])
    arms = [leads_UK[is_treated_U], leads_UK[~is_treated_U]]
    within = np.vstack([arm - arm.mean(0) for arm in arms])
    if np.linalg.matrix_rank(within) < num_leads:
        return None
    return float(test_mvmean_2indep(arms[0], arms[1]).pvalue)
