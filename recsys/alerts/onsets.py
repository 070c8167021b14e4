"""Since when: where the change of a series lies, and how surely.

Shape suffixes: S series, D days of the window.
"""

from dataclasses import dataclass

import numpy as np

from recsys.alerts.blocks import Block


@dataclass(frozen=True, kw_only=True)
class Onsets:
    """Days of the window, by place, int64, shape (S,) each.

    Attributes:
        likeliest: The day on which the change is the likeliest.
        low: First day of the interval.
        high: Last day of the interval.
    """

    likeliest: np.ndarray
    low: np.ndarray
    high: np.ndarray


def onsets(log_SD: np.ndarray, num_SD: np.ndarray, *, certainty: float = 0.9) -> Onsets:
    """Date changes by the likelihood of each onset, all onsets being as likely beforehand.

    Days without a review say the same as the next day with one: only days with a review count as
    onsets, so that the date is that of a review. The interval holds the likeliest day, also where
    all others together weigh more.

    Args:
        log_SD: Log e-values of onsets (likelihood ratios), shape (S, D).
        num_SD: Reviews by day, shape (S, D).
        certainty: Of the interval, whose ends leave out as much on either side, within (0, 1).

    Raises:
        ValueError: If a series has no review.
    """
    if not (num_SD > 0).any(axis=1).all():
        raise ValueError("onsets are days with reviews, and a series has none")
    heard = np.where(num_SD > 0, log_SD, -np.inf)
    weight = np.exp(heard - heard.max(axis=1, keepdims=True))
    reached = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    outside = (1 - certainty) / 2
    likeliest, last = heard.argmax(axis=1), log_SD.shape[1] - 1
    low = np.minimum((reached < outside).sum(axis=1), last)
    high = np.minimum((reached < 1 - outside).sum(axis=1), last)
    return Onsets(
        likeliest=likeliest, low=np.minimum(low, likeliest), high=np.maximum(high, likeliest)
    )


def datable_days(num_D: np.ndarray, block: Block) -> slice:
    """Return the days by which a change that was found in a block can be dated.

    They end with the first review from the block's last day on: what begins on silent days is seen
    in the next review, be it behind the block.

    Args:
        num_D: Reviews of one series by day of the window, shape (D,).
        block: In which the change was found.

    Raises:
        ValueError: If there is no review from the block's first day on.
    """
    heard = block.first + np.flatnonzero(num_D[block.first :])
    if not len(heard):
        raise ValueError("a change without a review since cannot be dated")
    behind = heard[heard >= block.end - 1]
    return slice(block.first, int(behind[0]) + 1 if len(behind) else block.end)
