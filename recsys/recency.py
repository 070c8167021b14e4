"""How popular items are of late: now, and at any earlier moment a model learns from.

Shape suffixes: T periods, I items, N interactions.
"""

from dataclasses import dataclass

import numpy as np

from recsys.interactions import Interactions

RECENT_DAYS = 45
_MOST_PERIODS = 128
_MOST_CELLS = 20_000_000
_DAY_US = 86_400e6


def recent_popularity(bought: Interactions, half_life_days: float = RECENT_DAYS) -> np.ndarray:
    """Return purchases of each item, halved for every half-life of age, float32, shape (I,)."""
    if not len(bought):
        return np.zeros(bought.num_items, dtype=np.float32)
    age_days = (bought.event_time.max() - bought.event_time) / _DAY_US
    weights = 0.5 ** (age_days / half_life_days)
    return np.bincount(bought.item_idx, weights, minlength=bought.num_items).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PopularityOverTime:
    """What `recent_popularity` would have said at the start of each of T periods of equal length.

    Attributes:
        starts: Microseconds since the epoch, ascending, int64, shape (T,).
        log_recent: Log of one plus the decayed purchases strictly before each start, float32,
            shape (T, I).
    """

    starts: np.ndarray
    log_recent: np.ndarray

    @classmethod
    def of(
        cls, bought: Interactions, half_life_days: float = RECENT_DAYS, *, num_periods: int = 0
    ) -> "PopularityOverTime":
        """Count what was bought.

        Args:
            bought: All purchases, at least one.
            half_life_days: Of the decay.
            num_periods: T; 0 for as many as memory is worth, at most 128.
        """
        num_items = bought.num_items
        affordable = int(np.clip(_MOST_CELLS // max(1, num_items), 8, _MOST_PERIODS))
        num_periods = num_periods or affordable
        first, last = int(bought.event_time.min()), int(bought.event_time.max())
        length = max(1, -(-(last - first + 1) // num_periods))
        starts = first + length * np.arange(num_periods, dtype=np.int64)
        period = (bought.event_time - first) // length
        order = np.argsort(period, kind="stable")
        bounds = np.searchsorted(period[order], np.arange(num_periods + 1))
        fade = 0.5 ** (length / _DAY_US / half_life_days)
        decayed = np.zeros(num_items)
        log_recent = np.zeros((num_periods, num_items), dtype=np.float32)
        for number in range(1, num_periods):
            rows = order[bounds[number - 1] : bounds[number]]
            age_days = (starts[number] - bought.event_time[rows]) / _DAY_US
            weights = 0.5 ** (age_days / half_life_days)
            decayed = decayed * fade + np.bincount(
                bought.item_idx[rows], weights, minlength=num_items
            )
            log_recent[number] = np.log1p(decayed)
        return cls(starts=starts, log_recent=log_recent)

    def before(self, times: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return what was known of items at the last start at or before each time.

        Args:
            times: Microseconds since the epoch, shape (B,).
            item_idx: Items, shape (C,).

        Returns:
            Log popularity, float32, shape (B, C).
        """
        period = np.searchsorted(self.starts, times, side="right") - 1
        return self.log_recent[np.maximum(period, 0)[:, None], item_idx]
