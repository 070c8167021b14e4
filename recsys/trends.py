"""What rises: items bought more of late than before, as surely as their numbers allow.

Shape suffixes: I items, N purchases.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from recsys.interactions import Interactions
from recsys.recency import recent_popularity

_DAY_US = 86_400_000_000
# What the prior weighs where items do not differ beyond chance, in purchases.
_MOST_PRIOR = 1e7


@dataclass(frozen=True, kw_only=True)
class TrendConfig:
    """Which windows are held against each other.

    Attributes:
        recent_days: Lengths of the recent window to choose from, ascending: the first that has
            `least_purchases`, else the last.
        times_longer: How many recent windows the time before it is long.
        least_purchases: Of all items, in the recent window.
        certainty: That an item's true rise is above its lower bound, within 0..1.
    """

    recent_days: tuple[int, ...] = (7, 14, 28, 56)
    times_longer: int = 4
    least_purchases: int = 500
    certainty: float = 0.8

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.recent_days or list(self.recent_days) != sorted(set(self.recent_days)):
            raise ValueError(f"recent_days must ascend, not {self.recent_days}")
        if self.recent_days[0] < 1 or self.times_longer < 1:
            raise ValueError("recent_days and times_longer must be at least 1")
        if not 0 < self.certainty < 1:
            raise ValueError(f"certainty must be within (0, 1), not {self.certainty}")


@dataclass(frozen=True, kw_only=True)
class Trends:
    """How each item is bought of late.

    Attributes:
        end: The last purchase, to which the recent window reaches, microseconds since the epoch; 0
            where nothing was bought.
        recent_days: Length of the recent window.
        before_days: Length of the time before it.
        num_recent: People who bought the item first in the recent window, int64, shape (I,).
        num_before: The same in the time before it, int64, shape (I,).
        expected: Of `num_recent`, had the item's share of all purchases stayed the same, float64,
            shape (I,).
        rise: Expected factor by which the item's share has grown, 1 where nothing is known,
            float64, shape (I,).
        rise_low: Lower bound of it, float64, shape (I,).
        order: Items that were ever bought, those that rise first and the surest of them foremost,
            then by `recsys.recency.recent_popularity`, int64.
    """

    end: int
    recent_days: int
    before_days: int
    num_recent: np.ndarray
    num_before: np.ndarray
    expected: np.ndarray
    rise: np.ndarray
    rise_low: np.ndarray
    order: np.ndarray

    @property
    def rises(self) -> np.ndarray:
        """Items whose share has grown for certain, bool, shape (I,)."""
        return self.rise_low > 1.0


def item_trends(bought: Interactions, config: TrendConfig = TrendConfig()) -> Trends:
    """Hold recent purchases against those before.

    Of the n purchases of an item in both windows, c are recent. Given n, c is binomial, and its
    chance p says how the rates of the windows compare, whatever the item's level is (Przyborowski
    and Wilenski 1940, "Homogeneity of results in testing samples from Poisson series"). The chances
    of all items are taken as drawn from one beta distribution, with the mean
    p0 = sum c / sum n and a spread found by moments (Kleinman 1973, "Proportions with extraneous
    variance"): an item is pulled towards p0 by as much as items are seen to be alike. The rise is
    the odds of p over those of p0, its lower bound that of a low quantile of p; ranking by such a
    bound, not by the ratio itself, keeps small numbers from the top (DuMouchel 1999, "Bayesian data
    mining in large frequency tables").

    Args:
        bought: One row a user and item, so that nobody makes a trend alone.
        config: Which windows.
    """
    end = int(bought.event_time.max(initial=0))
    recent_days = _recent_days(bought, end, config)
    before_days = config.times_longer * recent_days
    age_days = (end - bought.event_time) / _DAY_US
    is_recent = age_days < recent_days
    is_before = ~is_recent & (age_days < recent_days + before_days)
    num_recent_I = np.bincount(bought.item_idx[is_recent], minlength=bought.num_items)
    num_before_I = np.bincount(bought.item_idx[is_before], minlength=bought.num_items)
    rise_I, low_I = _rises(num_recent_I, num_before_I, config.certainty)
    all_recent, all_before = num_recent_I.sum(), num_before_I.sum()
    popular_I = recent_popularity(bought)
    order = np.lexsort((-popular_I, -np.where(low_I > 1.0, low_I, 0.0)))
    return Trends(
        end=end,
        recent_days=recent_days,
        before_days=before_days,
        num_recent=num_recent_I,
        num_before=num_before_I,
        expected=num_before_I * (all_recent / max(1, all_before)),
        rise=rise_I,
        rise_low=low_I,
        order=order[popular_I[order] > 0],
    )


def _recent_days(bought: Interactions, end: int, config: TrendConfig) -> int:
    for days in config.recent_days:
        if (bought.event_time > end - days * _DAY_US).sum() >= config.least_purchases:
            return days
    return config.recent_days[-1]


def _rises(
    recent_I: np.ndarray, before_I: np.ndarray, certainty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rise of each item and its lower bound; of what was not bought, 1 and 0."""
    rise_I, low_I = np.ones(len(recent_I)), np.zeros(len(recent_I))
    seen = np.flatnonzero(recent_I + before_I)
    recent, before = recent_I[seen].astype(np.float64), before_I[seen].astype(np.float64)
    if not recent.sum() or not before.sum():
        # Without a time before, or a recent one, there is nothing to rise from or to.
        return rise_I, low_I
    mean = float(recent.sum() / (recent.sum() + before.sum()))
    prior = _prior_weight(recent, recent + before, mean)
    a, b = mean * prior + recent, (1.0 - mean) * prior + before
    odds = mean / (1.0 - mean)
    rise_I[seen] = a / b / odds
    # Only what seems to have grown can have grown for certain.
    grown = np.flatnonzero(a / b > odds)
    least = betaincinv(a[grown], b[grown], 1.0 - certainty)
    low_I[seen[grown]] = least / (1.0 - least) / odds
    return rise_I, low_I


def _prior_weight(recent: np.ndarray, both: np.ndarray, mean: float) -> float:
    """Return of how many purchases the prior is worth, by Kleinman's moments weighted by `both`.

    At least so many that it has one peak: a few purchases alone must not decide.
    """
    total, chance = both.sum(), mean * (1.0 - mean)
    spread = (both * (recent / both - mean) ** 2).sum()
    by_chance = chance * (len(both) - 1)
    beyond = chance * ((both * (1.0 - both / total)).sum() - (len(both) - 1))
    alike = (spread - by_chance) / beyond if beyond > 0 else 0.0
    if alike <= 0:
        return _MOST_PRIOR
    return float(np.clip((1.0 - alike) / alike, 1.0 / min(mean, 1.0 - mean), _MOST_PRIOR))
