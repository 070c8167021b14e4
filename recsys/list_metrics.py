"""What recommended lists are like, whoever took what: how they spread over catalogue and taste.

Shape suffixes: B users, K places, I items, D vector width, C categories.
"""

import numpy as np


def coverage(lists: np.ndarray, num_items: int) -> float:
    """Share of the catalogue that stands in at least one list; negative entries are padding.

    >>> coverage(np.array([[0, 1], [1, -1]]), 4)
    0.5
    """
    return len(np.unique(lists[lists >= 0])) / num_items


def gini(lists: np.ndarray, num_items: int) -> float:
    """Inequality of exposure: 0 where all items stand in as many lists, near 1 where one does.

    Source: the Gini coefficient of counts over the whole catalogue, those never shown included.

    >>> gini(np.array([[0], [1]]), 2)
    0.0
    >>> gini(np.array([[0], [0]]), 2)
    0.5
    """
    counts = np.sort(np.bincount(lists[lists >= 0], minlength=num_items))
    if not counts.any():
        return 0.0
    place = np.arange(1, num_items + 1)
    return float(((2 * place - num_items - 1) * counts).sum() / (num_items * counts.sum()))


def novelty(lists: np.ndarray, num_takers: np.ndarray, num_users: int) -> float:
    """Mean self-information of what is shown, in bits: -log2 of the share of users who took it.

    Of an item that nobody took the share is that of half a user. 0 where nothing is shown.
    Source: Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma" (MIUF).

    >>> round(novelty(np.array([[0]]), np.array([1, 3]), 3), 4)
    1.585
    """
    shown = lists[lists >= 0]
    if not len(shown):
        return 0.0
    share = np.maximum(num_takers[shown], 0.5) / num_users
    return float(-np.log2(share).mean())


def intra_list_distance(lists: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Mean of 1 - cosine over the pairs of each list, NaN with fewer than two items, shape (B,).

    Source: Ziegler et al. 2005, "Improving recommendation lists through topic diversification".

    Args:
        lists: Item indices, negative ones are padding, shape (B, K).
        vectors: Unit vectors of items, zero where nothing is known, shape (I, D).

    >>> intra_list_distance(np.array([[0, 1], [0, 0]]), np.eye(2)).tolist()
    [1.0, 0.0]
    """
    real = lists >= 0
    vectors_BKD = vectors[np.maximum(lists, 0)] * real[:, :, None]
    sums = vectors_BKD.sum(1)
    num = real.sum(1)
    # The square of the sum holds each pair twice and each item with itself once.
    alike = (sums**2).sum(1) - (vectors_BKD**2).sum((1, 2))
    pairs = num * (num - 1)
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, 1.0 - alike / np.where(pairs > 0, pairs, 1), np.nan)


def miscalibration(taken_BC: np.ndarray, shown_BC: np.ndarray, *, smoothing: float = 0.01) -> float:
    """Kullback-Leibler divergence of the categories shown from those taken, in nats, mean of users.

    0 where every list has the user's own mix. Users without any category on either side are not
    counted; 0 where nobody is. Source: Steck 2018, "Calibrated recommendations".

    Args:
        taken_BC: Weight of each category in what users took.
        shown_BC: Weight of each category in what they are shown.
        smoothing: Share of the own mix that is lent to what is shown, so that nothing is divided by
            zero.

    >>> miscalibration(np.array([[1.0, 1.0]]), np.array([[2.0, 2.0]]))
    0.0
    """
    known = taken_BC.any(1) & shown_BC.any(1)
    if not known.any():
        return 0.0
    taken = taken_BC[known] / taken_BC[known].sum(1, keepdims=True)
    shown = shown_BC[known] / shown_BC[known].sum(1, keepdims=True)
    lent = (1 - smoothing) * shown + smoothing * taken
    ratio = np.divide(taken, lent, out=np.ones_like(taken), where=taken > 0)
    return float((taken * np.log(ratio)).sum(1).mean())
