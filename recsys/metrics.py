"""Full-ranking metrics. Ties rank the target last; users without targets are not counted.

Every metric takes 0-based ranks of a user's targets, `inf` where a target was not ranked at all.
"""

import math
from collections.abc import Sequence

import numpy as np


def target_ranks(scores: np.ndarray, excluded: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return 0-based ranks of the targets among all items that are not excluded.

    A target is outranked by every item that scores at least as much (ties rank it last), other
    targets that tie with it included in a fixed order.

    Args:
        scores: One user's scores of all items, -inf where not ranked, shape (I,).
        excluded: Items that are not offered (already seen), shape (E,).
        targets: Items to be found, none of them excluded, shape (T,).

    Returns:
        float64, shape (T,), in the order of the targets; inf where a score is -inf.

    >>> target_ranks(np.array([0.9, 0.5, 0.5, 0.1]), np.array([0]), np.array([1])).tolist()
    [1.0]
    """
    offered = scores.copy()
    offered[excluded] = -np.inf
    wanted = offered[targets]
    others = offered.copy()
    others[targets] = -np.inf
    above_others = (others[None, :] >= wanted[:, None]).sum(1)
    order = np.argsort(-wanted, kind="stable")
    ranks = np.empty(len(targets))
    ranks[order] = above_others[order] + np.arange(len(targets))
    ranks[np.isneginf(wanted)] = np.inf
    return ranks


def ndcg(ranks: np.ndarray, k: int) -> float:
    """Binary NDCG@k: sum over found targets of 1 / log2(rank + 2), over the ideal for min(k, T).

    Source: Järvelin and Kekäläinen 2002, with binary gains.

    >>> round(ndcg(np.array([1.0]), 10), 4)
    0.6309
    """
    ideal = sum(1.0 / math.log2(place + 2) for place in range(min(k, len(ranks))))
    found = ranks[ranks < k]
    return float((1.0 / np.log2(found + 2)).sum() / ideal)


def recall(ranks: np.ndarray, k: int) -> float:
    """Share of a user's targets that rank within the first k.

    >>> recall(np.array([0.0, 50.0]), 10)
    0.5
    """
    return float((ranks < k).mean())


def reciprocal_rank(ranks: np.ndarray) -> float:
    """1 / (1 + rank of the first target); 0 where none was ranked.

    >>> reciprocal_rank(np.array([3.0, 7.0]))
    0.25
    """
    return float(1.0 / (1.0 + ranks.min()))


def precision(ranks: np.ndarray, k: int) -> float:
    """Share of the first k places that hold a target.

    >>> precision(np.array([0.0, 2.0]), 5)
    0.4
    """
    return float((ranks < k).sum() / k)


def hit_rate(ranks: np.ndarray, k: int) -> float:
    """1 where any target ranks within the first k, else 0.

    >>> hit_rate(np.array([50.0, 3.0]), 10)
    1.0
    """
    return float((ranks < k).any())


def average_precision(ranks: np.ndarray, k: int) -> float:
    """Mean over a user's targets of the precision at their ranks, 0 for those beyond k.

    >>> round(average_precision(np.array([0.0, 2.0]), 5), 4)
    0.8333
    """
    ordered = np.sort(ranks)
    found = ordered[ordered < k]
    return float((np.arange(1, len(found) + 1) / (found + 1)).sum() / len(ranks))


def graded_ndcg(ranks: np.ndarray, gains: np.ndarray, k: int) -> float:
    """NDCG@k of targets that are worth more or less: gains over log2(rank + 2), over the ideal.

    Source: Järvelin and Kekäläinen 2002; for exponential gains hand over 2 ** grade - 1.

    Args:
        ranks: 0-based, shape (T,).
        gains: What each target is worth, above 0, shape (T,).
        k: Places that count.

    >>> round(graded_ndcg(np.array([0.0, 2.0]), np.array([5.0, 3.0]), 5), 4)
    0.943
    """
    best = np.sort(gains)[::-1][:k]
    ideal = (best / np.log2(np.arange(len(best)) + 2)).sum()
    found = ranks < k
    return float((gains[found] / np.log2(ranks[found] + 2)).sum() / ideal)


def summarise(ranks_of_users: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the mean over users of NDCG, MAP and precision at 10, Recall@10/100/200, hits and MRR.

    Raises:
        ValueError: If there is no user.
    """
    if not ranks_of_users:
        raise ValueError("no users to average over")
    return {
        "ndcg@10": float(np.mean([ndcg(r, 10) for r in ranks_of_users])),
        "map@10": float(np.mean([average_precision(r, 10) for r in ranks_of_users])),
        "precision@10": float(np.mean([precision(r, 10) for r in ranks_of_users])),
        "hit_rate@10": float(np.mean([hit_rate(r, 10) for r in ranks_of_users])),
        "recall@10": float(np.mean([recall(r, 10) for r in ranks_of_users])),
        "recall@100": float(np.mean([recall(r, 100) for r in ranks_of_users])),
        "recall@200": float(np.mean([recall(r, 200) for r in ranks_of_users])),
        "mrr": float(np.mean([reciprocal_rank(r) for r in ranks_of_users])),
    }
