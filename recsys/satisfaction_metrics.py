"""Metrics of what recommendations lead to: found purchases count by how they were felt about.

`docs/metrics.md` works an example through. Ranks are 0-based, `inf` where an item was not ranked.
"""

from collections.abc import Sequence

import numpy as np

from recsys.grades import BOUGHT, DISLIKED, LOVED

# What a purchase is worth: as much harm as good; of most, only that somebody wanted it.
SATISFACTION = {DISLIKED: -1.0, BOUGHT: 0.5, LOVED: 1.0}


def satisfaction_of(grades: np.ndarray) -> np.ndarray:
    """Return the satisfaction of purchases by their grades, in [-1, 1], the same shape."""
    table = np.zeros(max(SATISFACTION) + 1)
    table[list(SATISFACTION)] = list(SATISFACTION.values())
    return table[grades]


def satisfaction_ndcg(ranks: np.ndarray, satisfaction: np.ndarray, k: int) -> float:
    """NDCG@k whose gains may be negative: 1 is the best possible list, 0 the worst.

    (DCG - worst) / (best - worst), DCG the sum over ranks below k of satisfaction / log2(rank + 2).
    The best list shows what satisfied, most first, and nothing else; the worst shows what did not,
    worst first. Dividing by the best alone would leave a list of one disliked item unbounded.
    Source: Gienapp et al. 2020, "The impact of negative relevance judgments on NDCG".

    Args:
        ranks: Of a user's later purchases, shape (T,), at least one.
        satisfaction: Of each, in [-1, 1], not all zero, shape (T,).
        k: Places that count.

    >>> round(satisfaction_ndcg(np.array([0.0, 1.0]), np.array([1.0, -1.0]), 10), 4)
    0.6845
    """
    best = _gathered(np.sort(satisfaction[satisfaction > 0])[::-1], k)
    worst = _gathered(np.sort(satisfaction[satisfaction < 0]), k)
    shown = ranks < k
    gained = float((satisfaction[shown] / np.log2(ranks[shown] + 2)).sum())
    return (gained - worst) / (best - worst)


def regret(ranks_of_disliked: np.ndarray, k: int) -> float:
    """Share of the first k places given to what the user later bought and disliked.

    >>> regret(np.array([3.0, 40.0]), 10)
    0.1
    """
    return float((ranks_of_disliked < k).sum() / k)


def regret_recall(ranks_of_disliked: np.ndarray, k: int) -> float:
    """Share of what a user later bought and disliked that the first k places would have shown.

    The counterfactual of regret: of the bad purchases that did happen, how many this list would
    have led to. At least one is wanted.

    >>> regret_recall(np.array([3.0, 40.0]), 10)
    0.5
    """
    return float((ranks_of_disliked < k).mean())


def summarise_satisfaction(
    ranks_of_users: Sequence[np.ndarray], grades_of_users: Sequence[np.ndarray], k: int
) -> dict[str, float]:
    """Return satisfaction NDCG@k, regret@k and its counterfactual, means over users.

    Args:
        ranks_of_users: Of each user's targets.
        grades_of_users: Of the same targets, see `recsys.grades`.
        k: Places that count.

    Returns:
        Nothing where of no purchase it is known how it was felt about; no counterfactual where none
        was disliked.
    """
    pairs = list(zip(ranks_of_users, grades_of_users, strict=True))
    if all((grades == BOUGHT).all() for _, grades in pairs):
        return {}
    found = {
        f"satisfaction_ndcg@{k}": np.mean(
            [satisfaction_ndcg(ranks, satisfaction_of(grades), k) for ranks, grades in pairs]
        ),
        f"regret@{k}": np.mean([regret(ranks[grades == DISLIKED], k) for ranks, grades in pairs]),
    }
    disliked = [ranks[grades == DISLIKED] for ranks, grades in pairs]
    if any(len(ranks) for ranks in disliked):
        found[f"regret_recall@{k}"] = np.mean(
            [regret_recall(ranks, k) for ranks in disliked if len(ranks)]
        )
    return {name: float(value) for name, value in found.items()}


def _gathered(gains: np.ndarray, k: int) -> float:
    """Return the discounted sum of gains in the order given, of the first k."""
    first = gains[:k]
    return float((first / np.log2(np.arange(len(first)) + 2)).sum())
