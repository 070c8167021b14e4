"""What is counted of series, and what is known of their levels beforehand.

Shape suffixes: S series, D days of the window (each a possible onset).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Reviews of some series, day by day in the window, and before it.

    Attributes:
        num_SD: Reviews, shape (S, D).
        bad_SD: Negative ones among them, shape (S, D).
        num_before_S: Reviews before the window, shape (S,).
        bad_before_S: Negative ones among them, shape (S,).
    """

    num_SD: np.ndarray
    bad_SD: np.ndarray
    num_before_S: np.ndarray
    bad_before_S: np.ndarray

    def rows(self, rows: np.ndarray | list[int]) -> "Counts":
        """Return those of some series."""
        return Counts(
            num_SD=self.num_SD[rows],
            bad_SD=self.bad_SD[rows],
            num_before_S=self.num_before_S[rows],
            bad_before_S=self.bad_before_S[rows],
        )

    def since(self) -> tuple[np.ndarray, np.ndarray]:
        """Return reviews, and negative ones, from each day to the last, shape (S, D) each."""
        return from_each(self.num_SD), from_each(self.bad_SD)

    def until(self) -> tuple[np.ndarray, np.ndarray]:
        """Return reviews, and negative ones, before each day, shape (S, D) each."""
        num = before_each(self.num_SD, self.num_before_S)
        bad = before_each(self.bad_SD, self.bad_before_S)
        return num, bad


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What shares of negative reviews are expected to be, before a series' own past is read.

    Attributes:
        mean_S: Of series of the same kind, in (0, 1), shape (S,).
        strength_S: Of how many reviews that is worth, shape (S,).
        most_S: Of how many reviews all that is known of a series is worth at most: shares wander,
            shape (S,).
    """

    mean_S: np.ndarray
    strength_S: np.ndarray
    most_S: np.ndarray

    def rows(self, rows: np.ndarray | list[int]) -> "Levels":
        """Return those of some series."""
        return Levels(
            mean_S=self.mean_S[rows], strength_S=self.strength_S[rows], most_S=self.most_S[rows]
        )


def from_each(days: np.ndarray) -> np.ndarray:
    """Return the sum from each day to the last, shape (..., D).

    >>> from_each(np.array([1, 2, 3])).tolist()
    [6, 5, 3]
    """
    return np.cumsum(days[..., ::-1], axis=-1)[..., ::-1]


def before_each(days: np.ndarray, before_S: np.ndarray) -> np.ndarray:
    """Return the sum before each day, of days before the window too, shape (S, D).

    >>> before_each(np.array([[1, 2, 3]]), np.array([5])).tolist()
    [[5, 6, 8]]
    """
    return before_S[:, None] + np.cumsum(days, axis=1) - days
