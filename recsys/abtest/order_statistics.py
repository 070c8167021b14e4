"""Quantiles of whole numbers that lie in parts, exact and without holding them.

The range in which a value of a certain rank lies is cut into bins, each part counts its values in
the bins, and the bin with the rank is the next range, until it holds one number: two or three
passes for sums of cents. What is held is the values of one part at a time.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

NUM_BINS = 65_536


class Span(NamedTuple):
    """How many values a part has, and from where to where; zeros where it has none."""

    num: int
    low: int
    high: int


def span(values_N: np.ndarray) -> Span:
    """Return number, least and greatest of whole numbers, shape (N,)."""
    if not len(values_N):
        return Span(0, 0, 0)
    return Span(len(values_N), int(values_N.min()), int(values_N.max()))


def bin_counts(values_N: np.ndarray, low: int, width: int) -> np.ndarray:
    """Count values in bins of a width from `low` on, shape (NUM_BINS,)."""
    high = low + width * NUM_BINS - 1
    inside = values_N[(values_N >= low) & (values_N <= high)]
    return np.bincount((inside - low) // width, minlength=NUM_BINS)


class OrderStatistics:
    """Values by rank, counted in parts.

    Args:
        spans: Of the parts.
        count: Called with `low` and `width`; returns the sum of the parts' `bin_counts`.
    """

    def __init__(self, spans: list[Span], count: Callable[[int, int], np.ndarray]) -> None:
        there = [part for part in spans if part.num]
        self.num = sum(part.num for part in there)
        self._low = min((part.low for part in there), default=0)
        self._high = max((part.high for part in there), default=0)
        self._count = count
        self._counted: dict[tuple[int, int], np.ndarray] = {}

    def at(self, rank: int) -> int:
        """Return the value that `rank` others are sorted before, from 0."""
        low, width, before = self._low, 1, 0
        size = self._high - self._low + 1
        while True:
            width = -(-size // NUM_BINS)
            if (low, width) not in self._counted:
                self._counted[low, width] = np.cumsum(self._count(low, width))
            reached = self._counted[low, width]
            place = int(np.searchsorted(reached, rank - before, side="right"))
            before += int(reached[place - 1]) if place else 0
            low, size = low + place * width, width
            if width == 1:
                return low

    def around(self, quantile: float) -> tuple[int, int, float]:
        """Return the values on both sides of a quantile, and how far it is from the first."""
        place = quantile * (self.num - 1)
        below = math.floor(place)
        return self.at(below), self.at(min(below + 1, self.num - 1)), place - below
