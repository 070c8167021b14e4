"""How far to clip weights, chosen from the data by SLOPE.

A low clip has bias that cannot be seen and little variance; a high one the other way round. SLOPE
takes the lowest clip whose interval still meets those of all higher clips: as long as they meet,
the bias is no more than what chance explains.
Source: Su, Srinath and Krishnamurthy 2020, "Adaptive estimator selection for off-policy evaluation"
(https://arxiv.org/abs/2006.07972), theorem 3: bias grows and width falls along the order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys.off_policy.estimators import Contributions, clipped_ipw
from recsys.off_policy.intervals import standard_error

NUM_CLIPS = 12
_WIDTH = 1.96


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip that was chosen.

    Attributes:
        value: No weight counts more.
        num_tried: Clips that were compared.
        share_clipped: Of the rows, whose weight is above it.
    """

    value: float
    num_tried: int
    share_clipped: float


def slope(values: np.ndarray, widths: np.ndarray) -> int:
    """Return the place that SLOPE chooses among estimates ordered by rising bias.

    The last i so that the intervals value ± 2 width of all j <= i have a point in common; widths
    are made to fall along the order, as theory wants them.

    Args:
        values: Estimates, the least biased first, at least one.
        widths: With which each lies around its own mean, at least 0.

    >>> slope(np.array([1.0, 0.9, 0.2]), np.array([0.3, 0.2, 0.1]))
    1
    """
    falling = np.minimum.accumulate(widths)
    low = np.maximum.accumulate(values - 2 * falling)
    high = np.minimum.accumulate(values + 2 * falling)
    return int(np.flatnonzero(low <= high)[-1])


def clip_grid(weight: np.ndarray, num: int = NUM_CLIPS) -> np.ndarray:
    """Return clips to try: from the largest weight down to the mean, evenly by logarithm.

    Below the mean weight of a row (about 1) nearly every weight would be cut, and the estimate
    would be the logged value, not the target's.
    """
    most, mean = float(weight.max()), float(weight.mean())
    if most <= mean:
        return np.array([most])
    return np.geomspace(most, mean, num)


def choose_clip(
    reward: np.ndarray, weight: np.ndarray, group: np.ndarray, reward_range: tuple[float, float]
) -> Clip:
    """Return the clip of IPW that SLOPE chooses.

    Args:
        reward: Shape (N,).
        weight: At least 0, some of it above, shape (N,).
        group: What is drawn together, indices from 0, shape (N,).
        reward_range: Of the reward.
    """
    clips = clip_grid(weight)
    tried: list[Contributions] = [clipped_ipw(reward, weight, reward_range, m) for m in clips]
    place = chosen(tried, lambda found: _WIDTH * standard_error(found, group))
    return Clip(
        value=float(clips[place]),
        num_tried=len(clips),
        share_clipped=float((weight > clips[place]).mean()),
    )


def chosen(tried: list[Contributions], width: Callable[[Contributions], float]) -> int:
    """Return the place that SLOPE chooses among estimates, the least biased first."""
    return slope(
        np.array([found.value for found in tried]), np.array([width(found) for found in tried])
    )
