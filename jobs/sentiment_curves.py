"""Curves of how well polarity agrees with labels, and their drawings.

Shape suffixes: N texts, C classes, K points of a curve.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jobs.sentiment_figures import ClassShares
from sentiment.metrics import calibration_error, roc_auc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_BINS = 15
# More points of a curve than a drawing has pixels only make it heavy.
_MOST_POINTS = 1000
# Dark enough on white, and told apart without red and green (after Okabe & Ito); lines differ too.
_LINES = {"negative": ("#b34700", "-"), "neutral": ("#595959", "--"), "positive": ("#0060a0", "-.")}
_BAR, _MEAN, _INK, _PALE = "#0072b2", "#e69f00", "#1b1f24", "#8c959f"
# White words can be read from this shade of blue on.
_DARK_SHARE = 0.65


class Bins(NamedTuple):
    """Texts in equal-width bins of the greatest probability, each of shape (NUM_BINS,).

    `accuracy` and `confidence`, the mean probability, are NaN where `num_texts` is 0.
    """

    num_texts: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray


def roc_points(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates at every threshold, from (0, 0) to (1, 1), shape (K,).

    Equal scores make one step, so that the area below is `roc_auc`. Both classes must occur.

    >>> false_rate, true_rate = roc_points(np.array([3, 2, 2, 1]), np.array([1, 1, 0, 0]) > 0)
    >>> false_rate.tolist(), true_rate.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    misses, hits = np.cumsum(~positive[order]), np.cumsum(positive[order])
    false_rate = np.append(0.0, misses[last_of_equals] / misses[-1])
    return false_rate, np.append(0.0, hits[last_of_equals] / hits[-1])


def roc_areas(shares: ClassShares) -> dict[str, float | None]:
    """Return the area below the curve of each class against the rest.

    Of two classes there is one curve, that of the positive one. None where all labels or none are
    of the class.
    """
    names = shares.classes if len(shares.classes) > 2 else shares.classes[-1:]
    areas = {}
    for name in names:
        place = shares.classes.index(name)
        area = roc_auc(shares.share[:, place], shares.actual == place)
        areas[name] = None if np.isnan(area) else area
    return areas


def reliability_bins(probabilities: np.ndarray, actual: np.ndarray) -> Bins:
    """Return what `calibration_error` sums up.

    Args:
        probabilities: Shape (N, C).
        actual: Classes, shape (N,).
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == actual
    place = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    count = np.bincount(place, minlength=NUM_BINS)
    divisor = np.where(count > 0, count, np.nan)
    return Bins(
        num_texts=count,
        accuracy=np.bincount(place, weights=right, minlength=NUM_BINS) / divisor,
        confidence=np.bincount(place, weights=confidence, minlength=NUM_BINS) / divisor,
    )


def draw_confusion(figures: dict[str, Any]) -> "Figure":
    """Draw counts of texts by label and found class, shaded by the share of the label."""
    classes, counts = figures["classes"], np.array(figures["confusion"])
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    figure, axes = _canvas()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}\n{share[row, column]:.0%}",
            ha="center",
            va="center",
            color="white" if share[row, column] > _DARK_SHARE else _INK,
        )
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    axes.set(xlabel="found", ylabel="label", title="Confusion: texts, and share of the label")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def draw_roc(shares: ClassShares) -> "Figure":
    """Draw the curves that `roc_areas` measures."""
    figure, axes = _canvas()
    _draw_diagonal(axes)
    for name, area in roc_areas(shares).items():
        if area is None:
            continue
        place, (colour, style) = shares.classes.index(name), _LINES[name]
        rates = roc_points(shares.share[:, place], shares.actual == place)
        kept = _spread(len(rates[0]))
        axes.plot(
            rates[0][kept],
            rates[1][kept],
            style,
            color=colour,
            linewidth=1.8,
            label=f"{name}, AUC {area:.4f}",
        )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", frameon=False)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_reliability(shares: ClassShares) -> "Figure":
    """Draw accuracy and numbers of texts by probability, before and after temperature."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
    edges = np.arange(NUM_BINS) / NUM_BINS
    bars: dict[str, Any] = {"width": 1 / NUM_BINS, "align": "edge", "edgecolor": "white"}
    found = (("before", shares.share), ("after temperature", shares.cooled))
    for above, below, (name, probabilities) in zip(upper, lower, found, strict=True):
        bins = reliability_bins(probabilities, shares.actual)
        filled = bins.num_texts > 0
        mean = bins.confidence[filled]
        error = calibration_error(probabilities, shares.actual, NUM_BINS)
        above.bar(edges[filled], bins.accuracy[filled], color=_BAR, label="accuracy", **bars)
        above.plot(mean, mean, "_", color=_MEAN, ms=13, mew=3, label="mean probability")
        _draw_diagonal(above)
        above.set(title=f"{name}: ECE {error:.4f}", xlim=(0, 1), ylim=(0, 1.01))
        below.bar(edges, bins.num_texts, color=_PALE, **bars)
        below.set(xlabel="probability of the most likely class")
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
    upper[0].set(ylabel="accuracy")
    lower[0].set(ylabel="texts")
    upper[0].legend(loc="upper left", frameon=False)
    return figure


def _canvas() -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    return figure, figure.subplots()


def _draw_diagonal(axes: "Axes") -> None:
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle=":")


def _spread(num_points: int) -> np.ndarray:
    """Return the places of at most `_MOST_POINTS` points, first and last among them."""
    return np.unique(np.linspace(0, num_points - 1, min(num_points, _MOST_POINTS)).astype(int))
