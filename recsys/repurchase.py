"""What a user bought before and is about to need again.

Of an item that people buy again, the time between two purchases is taken as lognormal, with a mean
of its own as far as it has repeats, else of its category, else of the shop; and a user's own gaps
count. Not everybody comes back: the chance to ever buy the item again is estimated likewise. With
both, the chance to buy it within a horizon, given that it was not bought for some time, is

    r (F(e + h) - F(e)) / (1 - r F(e))

r the chance to come back, F the distribution of gaps, e the time since the last purchase, h the
horizon: it rises as the usual gap comes round, and falls for good where that has long gone by.
Source: Boag 1949, the mixture cure model; Berkson and Gage 1952.

Only the past is read: what is fitted at a time knows nothing from then on. An item that nobody ever
bought twice does not qualify. Purchases on one day are one.

Shape suffixes: N purchases, P pairs of a user and an item, I items, B users, L ranked items.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtr

from recsys.interactions import Histories, Interactions
from recsys.item_similarity import entries
from recsys.query import Query
from recsys.rankings import Ranking

DAY_US = 86_400_000_000
NAME = "repurchase_due"


@dataclass(frozen=True, kw_only=True)
class RepurchaseConfig:
    """How repurchases are foreseen.

    Attributes:
        horizon_days: Within how many days an item is wanted again.
        least_passed: An item has come round when this share of usual gaps has passed, in [0, 1).
        item_weight: So many gaps, or buyers, of its own make an item count as much as its category,
            and a category as much as the shop.
        user_weight: So many gaps of their own make a user count as much as the item.
    """

    horizon_days: float = 30.0
    least_passed: float = 0.05
    item_weight: float = 5.0
    user_weight: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.horizon_days <= 0:
            raise ValueError(f"horizon_days must be positive, not {self.horizon_days}")
        if not 0 <= self.least_passed < 1:
            raise ValueError(f"least_passed must be within 0..1, not {self.least_passed}")
        if self.item_weight <= 0 or self.user_weight <= 0:
            raise ValueError("item_weight and user_weight must be positive")


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """What each user bought of each item, in any order.

    Attributes:
        row: User, or row of a batch, int64, shape (P,).
        item: int64, shape (P,).
        last_day: Day of the last purchase since the epoch, int64, shape (P,).
        num_gaps: Between purchases on different days, int64, shape (P,).
        log_days: Sum of the logs of these gaps in days, float64, shape (P,).
        squares: Sum of the squares of these logs, float64, shape (P,).
    """

    row: np.ndarray
    item: np.ndarray
    last_day: np.ndarray
    num_gaps: np.ndarray
    log_days: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, row: np.ndarray, item: np.ndarray, event_time: np.ndarray) -> "_Pairs":
        """Sum up purchases in any order, shape (N,) each."""
        row, item, day = row.astype(np.int64), item.astype(np.int64), event_time // DAY_US
        order = np.lexsort((day, item, row))
        row, item, day = row[order], item[order], day[order]
        is_new = np.ones(len(row), dtype=bool)
        is_new[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
        pair = np.cumsum(is_new) - 1
        gap = np.diff(day, prepend=day[:1])
        counts = ~is_new & (gap > 0)
        log_gap = np.log(np.where(counts, gap, 1))
        starts = np.flatnonzero(is_new)
        ends = np.append(starts[1:], len(row)) - 1 if len(row) else starts
        num = len(starts)
        return cls(
            row=row[starts],
            item=item[starts],
            last_day=day[ends],
            num_gaps=np.bincount(pair, counts, minlength=num).astype(np.int64),
            log_days=np.bincount(pair, log_gap, minlength=num),
            squares=np.bincount(pair, log_gap**2, minlength=num),
        )


@dataclass(frozen=True, kw_only=True)
class Replenishment:
    """How items are bought again.

    Attributes:
        log_mean: Mean log of the days between two purchases, float64, shape (I,).
        deviation: Standard deviation of such logs within an item.
        chance: That who bought an item ever buys it again, in [0, 1], float64, shape (I,); 0 where
            nobody has.
        config: How it was fitted.
    """

    log_mean: np.ndarray
    deviation: float
    chance: np.ndarray
    config: RepurchaseConfig

    def due(self, pairs: _Pairs, now: int) -> np.ndarray:
        """Return the chance of each pair within the horizon, 0 where it has not come round, (P,).

        Args:
            pairs: Of users and items.
            now: Microseconds since the epoch.
        """
        config, gaps = self.config, pairs.num_gaps
        own = gaps / (gaps + config.user_weight)
        mean = np.where(gaps > 0, pairs.log_days / np.maximum(gaps, 1), 0.0)
        log_mean = own * mean + (1 - own) * self.log_mean[pairs.item]
        chance_of_item = self.chance[pairs.item]
        chance = own + (1 - own) * chance_of_item
        elapsed = np.maximum(now // DAY_US - pairs.last_day, 0)
        passed = self._passed(elapsed, log_mean)
        then = self._passed(elapsed + config.horizon_days, log_mean)
        wanted = chance * (then - passed) / np.maximum(1 - chance * passed, 1e-9)
        return np.where((chance_of_item > 0) & (passed >= config.least_passed), wanted, 0.0)

    def _passed(self, days: np.ndarray, log_mean: np.ndarray) -> np.ndarray:
        """Return the share of gaps that are shorter."""
        return ndtr((np.log(np.maximum(days, 1e-9)) - log_mean) / self.deviation)


_LEAST_DEVIATION = 0.25


def fit_replenishment(
    purchases: Interactions, category_I: np.ndarray, config: RepurchaseConfig
) -> Replenishment:
    """Learn from every purchase of every user.

    Args:
        purchases: With repeats.
        category_I: One category of each item, -1 for none, shape (I,).
        config: How.
    """
    pairs = _Pairs.of(purchases.user_idx, purchases.item_idx, purchases.event_time)
    num_items = purchases.num_items

    def by_item(values: np.ndarray) -> np.ndarray:
        return np.bincount(pairs.item, values, minlength=num_items)

    gaps, logs = by_item(pairs.num_gaps), by_item(pairs.log_days)
    buyers, back = by_item(np.ones(len(pairs.item))), by_item(pairs.num_gaps > 0)
    within = by_item(pairs.squares).sum() - (logs**2 / np.maximum(gaps, 1)).sum()
    freedom = max(gaps.sum() - np.count_nonzero(gaps), 1)
    chance = _borrowed(back, buyers, category_I, config.item_weight)
    return Replenishment(
        log_mean=_borrowed(logs, gaps, category_I, config.item_weight),
        deviation=max(float(np.sqrt(max(within, 0.0) / freedom)), _LEAST_DEVIATION),
        chance=np.where(back > 0, chance, 0.0),
        config=config,
    )


def _borrowed(
    total_I: np.ndarray, count_I: np.ndarray, category_I: np.ndarray, weight: float
) -> np.ndarray:
    """Return each item's mean, pulled towards its category's, and that towards the mean of all."""
    of_all = total_I.sum() / max(count_I.sum(), 1.0)
    # The last one is of items without a category.
    place = np.where(category_I < 0, category_I.max(initial=-1) + 1, category_I)
    total_C, count_C = np.bincount(place, total_I), np.bincount(place, count_I)
    mean_C = (total_C + weight * of_all) / (count_C + weight)
    mean_C[place[category_I < 0]] = of_all
    return (total_I + weight * mean_C[place]) / (count_I + weight)


@dataclass(frozen=True, kw_only=True)
class RepurchaseSource:
    """Items that a user bought before and that have come round, the likeliest first.

    The only source that ranks what was bought; it speaks where a question carries purchases with
    their repeats (`Query.repeats`), and is silent elsewhere.
    """

    name: str
    replenishment: Replenishment

    def score(self, query: Query) -> np.ndarray:
        """Return the chance of each item within the horizon, float32, shape (B, I)."""
        return self.chances(query).toarray()

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the items bought before that may be offered; the scale is the user's largest."""
        due = self.chances(query)
        row = user = np.repeat(np.arange(len(query)), np.diff(due.indptr))
        kept = np.ones(len(row), bool) if query.allowed is None else query.allowed[due.indices]
        row, item, value = row[kept], due.indices[kept], due.data[kept]
        order = np.lexsort((item, np.negative(value), row))
        row, item = row[order], item[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        best = np.full((len(query), depth), -1, dtype=np.int32)
        best[row[place < depth], place[place < depth]] = item[place < depth]
        largest = np.full((len(query), 1), 1e-9)
        np.maximum.at(largest[:, 0], user, due.data)

        def score_of(item_idx: np.ndarray) -> np.ndarray:
            found = entries(due, np.arange(len(query)), np.maximum(item_idx, 0))
            return (found / largest).astype(np.float32)

        return Ranking(item_idx=best, score_of=score_of)

    def chances(self, query: Query) -> sp.csr_matrix:
        """Return the chance of each item that has come round within the horizon, sparse (B, I)."""
        shape = (len(query), len(self.replenishment.chance))
        if query.repeats is None:
            return sp.csr_matrix(shape, dtype=np.float32)
        log: Histories = query.repeats.purchases
        pairs = _Pairs.of(log.row, log.item_idx, log.event_time)
        due = self.replenishment.due(pairs, query.repeats.now).astype(np.float32)
        kept = due > 0
        found = sp.csr_matrix((due[kept], (pairs.row[kept], pairs.item[kept])), shape=shape)
        found.sort_indices()
        return found
