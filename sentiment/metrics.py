"""How good sentiment signals are: classification, calibration, spans, neighbours.

Shape suffixes: N texts, C classes, E labels, D embedding width.
"""

from collections.abc import Sequence

import numpy as np


def two_class_accuracy(probabilities: np.ndarray, positive: np.ndarray) -> float:
    """Share of texts where p_positive > p_negative agrees with the label.

    Args:
        probabilities: Negative, neutral, positive, shape (N, 3).
        positive: Which texts are positive, bool, shape (N,).

    >>> two_class_accuracy(np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]), np.array([True, True]))
    0.5
    """
    return float(((probabilities[:, 2] > probabilities[:, 0]) == positive).mean())


def macro_f1(predicted: np.ndarray, actual: np.ndarray, num_classes: int = 3) -> float:
    """Mean over the classes of 2 TP / (2 TP + FP + FN); a class nobody has or predicts counts 0.

    >>> macro_f1(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])).__round__(4)
    0.7778
    """
    hits = [((predicted == label) & (actual == label)).sum() for label in range(num_classes)]
    sizes = [(predicted == label).sum() + (actual == label).sum() for label in range(num_classes)]
    return float(np.mean([2 * hit / max(1, size) for hit, size in zip(hits, sizes, strict=True)]))


def calibration_error(probabilities: np.ndarray, actual: np.ndarray, num_bins: int = 15) -> float:
    """Expected calibration error over equal-width bins of the top probability.

    Sum over bins of (share of rows) x |accuracy - mean confidence|. Source: Naeini et al. 2015,
    "Obtaining Well Calibrated Probabilities Using Bayesian Binning".

    >>> calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])).__round__(4)
    0.3
    """
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    error = 0.0
    for index in range(num_bins):
        rows = bins == index
        if rows.any():
            gap = (predicted[rows] == actual[rows]).mean() - confidence[rows].mean()
            error += rows.mean() * abs(gap)
    return float(error)


def label_f1(predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """F1 of each label of a multi-label task, shape (E,); 0 where there is no hit.

    Args:
        predicted: bool, shape (N, E).
        actual: bool, shape (N, E).
    """
    hits = (predicted & actual).sum(0)
    return 2 * hits / np.maximum(1, predicted.sum(0) + actual.sum(0))


def best_thresholds(probabilities: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """For each label the threshold in 0.01..0.95 with the best F1 on these rows, shape (E,).

    The lowest of equally good ones.
    """
    # Finer where the probabilities of rare labels are.
    grid = np.concatenate([np.arange(0.01, 0.05, 0.01), np.arange(0.05, 0.951, 0.025)])
    scores = np.stack([label_f1(probabilities >= threshold, actual) for threshold in grid])
    return grid[scores.argmax(0)]


def span_f1(
    found: Sequence[Sequence[tuple[int, int]]], wanted: Sequence[Sequence[tuple[int, int]]]
) -> dict[str, float]:
    """Precision, recall and F1 of spans that must match exactly, over all texts.

    >>> span_f1([[(0, 2)], [(1, 3), (5, 6)]], [[(0, 2)], [(1, 3)]])["precision"].__round__(4)
    0.6667
    """
    hits = sum(len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True))
    num_found, num_wanted = sum(map(len, found)), sum(map(len, wanted))
    return {
        "precision": hits / max(1, num_found),
        "recall": hits / max(1, num_wanted),
        "f1": 2 * hits / max(1, num_found + num_wanted),
    }


def neighbour_agreement(found: np.ndarray, wanted: np.ndarray, num_neighbours: int = 10) -> float:
    """Mean share of each row's nearest neighbours that two sets of embeddings have in common.

    Args:
        found: Unit embeddings, shape (N, D).
        wanted: Unit embeddings of the same texts, any width, shape (N, D').
        num_neighbours: Neighbours by inner product, the row itself left out.

    >>> neighbour_agreement(np.eye(4), np.eye(4), num_neighbours=3)
    1.0
    """
    near = [_neighbours(vectors, num_neighbours) for vectors in (found, wanted)]
    shared = [len(set(a) & set(b)) for a, b in zip(*near, strict=True)]
    return float(np.mean(shared)) / num_neighbours


def _neighbours(vectors: np.ndarray, num: int) -> list[list[int]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :num].tolist()


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive text scores above a negative one; equal scores count one half.

    NaN where a class is absent. Source: Fawcett 2006, "An introduction to ROC analysis".

    >>> roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if not num_positive or not num_negative:
        return float("nan")
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    # Mean rank of each group of equal scores, counted from 1.
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    above = ranks[group][positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


def confusion(predicted: np.ndarray, actual: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of texts by actual class (rows) and predicted class, int64, shape (C, C).

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    pairs = np.bincount(actual * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)
