"""Since when: where the change of a series lies, and how surely.

Shape suffixes: S series, D days of the window.
"""

from dataclasses import dataclass

import numpy as np


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
    onsets, so that the date is that of a review.

    Args:
        log_SD: Log e-values of onsets (likelihood ratios), shape (S, D).
        num_SD: Reviews by day, shape (S, D).
        certainty: Of the interval, whose ends leave out as much on either side, within (0, 1).
    """
    heard = np.where(num_SD > 0, log_SD, -np.inf)
    # A series without any review has no better day than the first.
    is_heard = (num_SD > 0).any(axis=1, keepdims=True)
    heard = np.where(is_heard, heard, 0.0)
    weight = np.exp(heard - heard.max(axis=1, keepdims=True))
    reached = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    outside = (1 - certainty) / 2
    last = log_SD.shape[1] - 1
    return Onsets(
        likeliest=heard.argmax(axis=1),
        low=np.minimum((reached < outside).sum(axis=1), last),
        high=np.minimum((reached < 1 - outside).sum(axis=1), last),
    )
