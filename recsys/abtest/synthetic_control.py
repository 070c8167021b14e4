"""The effect on one unit against a weighted mean of others that moved as it did before.

Shape suffixes: D donors, P periods.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from recsys.errors import ExperimentLogError

# Donors beyond these, by distance before the start, only cost time.
_MOST_DONORS = 200
# How much the condition that weights sum to one outweighs the fit.
_FIRM = 1e4


@dataclass(frozen=True, kw_only=True)
class SyntheticControl:
    """An effect against a synthetic control.

    Attributes:
        effect: Mean difference in the periods after the start, a unit and period.
        total: Over those periods, for one unit.
        p_value: Share of units, itself among them, whose gap after the start, by that before, is at
            least as great.
        num_placebos: Donors that were treated in its place.
        error_before: Root mean square of the difference before.
        weights_D: At least 0, summing to one; zero for donors that are left out, shape (D,).
        gap_P: Difference in every period, shape (P,).
    """

    effect: float
    total: float
    p_value: float
    num_placebos: int
    error_before: float
    weights_D: np.ndarray
    gap_P: np.ndarray


def synthetic_control(
    treated_P: np.ndarray, donors_DP: np.ndarray, *, num_before: int
) -> SyntheticControl:
    """Compare a unit with the mixture of donors that is nearest to it before the start.

    Weights minimise the squared distance before, are not negative and sum to one. Each donor is
    then treated in its place by the same rule; the p-value is the rank of the ratio of root mean
    squared gaps after and before. Source: Abadie, Diamond and Hainmueller 2010, "Synthetic control
    methods for comparative case studies".

    Args:
        treated_P: Shape (P,).
        donors_DP: Shape (D, P).
        num_before: Periods before the start.

    Raises:
        ExperimentLogError: There are fewer than two donors.
    """
    if len(donors_DP) < 2:
        raise ExperimentLogError(f"{len(donors_DP)} donors: a synthetic control needs two")
    distance = ((donors_DP[:, :num_before] - treated_P[:num_before]) ** 2).sum(1)
    kept = np.sort(np.argsort(distance, kind="stable")[:_MOST_DONORS])
    near = donors_DP[kept]
    weights = simplex_weights(treated_P[:num_before], near[:, :num_before])
    gap = treated_P - weights @ near
    ratios = []
    for place in range(len(near)):
        others = np.delete(near, place, axis=0)
        mixed = simplex_weights(near[place, :num_before], others[:, :num_before])
        ratios.append(_ratio(near[place] - mixed @ others, num_before))
    own = _ratio(gap, num_before)
    all_weights = np.zeros(len(donors_DP))
    all_weights[kept] = weights
    return SyntheticControl(
        effect=float(gap[num_before:].mean()),
        total=float(gap[num_before:].sum()),
        p_value=(1 + sum(ratio >= own for ratio in ratios)) / (1 + len(ratios)),
        num_placebos=len(ratios),
        error_before=float(np.sqrt((gap[:num_before] ** 2).mean())),
        weights_D=all_weights,
        gap_P=gap,
    )


def simplex_weights(target_P: np.ndarray, donors_DP: np.ndarray) -> np.ndarray:
    """Return the weights, at least 0 and summing to one, whose mixture is nearest to a target.

    Non-negative least squares with the sum as a heavy further row. Source: Lawson and Hanson 1974,
    "Solving least squares problems", chapter 23.

    Args:
        target_P: Shape (P,).
        donors_DP: Shape (D, P).
    """
    scale = max(float(np.abs(donors_DP).max()), float(np.abs(target_P).max()), 1e-12)
    rows = np.vstack([donors_DP.T / scale, np.full((1, len(donors_DP)), _FIRM)])
    weights, _ = nnls(rows, np.append(target_P / scale, _FIRM))
    return weights / weights.sum()


def _ratio(gap_P: np.ndarray, num_before: int) -> float:
    before, after = (np.sqrt((part**2).mean()) for part in (gap_P[:num_before], gap_P[num_before:]))
    return float(after / max(before, 1e-12))
