"""Figures of how well polarity agrees with labels: overall, per language, per length.

Shape suffixes: N texts, C classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sentiment.metrics import calibration_error, confusion, macro_f1, roc_auc
from sentiment.training import fit_probability_temperature

CLASSES = ("negative", "neutral", "positive")
_NEGATIVE, _NEUTRAL, _POSITIVE = range(3)
# Upper bounds in characters of what is called short and medium.
_LENGTHS = ((100, "up to 100"), (400, "101 to 400"), (None, "over 400"))


@dataclass(frozen=True, kw_only=True)
class ScoredTexts:
    """N labelled texts as the scorer reads them.

    Attributes:
        probabilities: Negative, neutral, positive, shape (N, 3).
        label: Classes, int64, shape (N,).
        language: Of each text, shape (N,).
        num_characters: Of each text, shape (N,).
        model_version: Of the scorer.
    """

    probabilities: np.ndarray
    label: np.ndarray
    language: np.ndarray
    num_characters: np.ndarray
    model_version: str


@dataclass(frozen=True, kw_only=True)
class ClassShares:
    """Probabilities of the C classes that labels tell apart, beside the labels.

    Attributes:
        classes: Names; two where no label is neutral.
        share: Sums to one in each row, shape (N, C).
        cooled: The same at a temperature that was fitted on the other half of the rows.
        actual: Places among `classes`, shape (N,).
    """

    classes: tuple[str, ...]
    share: np.ndarray
    cooled: np.ndarray
    actual: np.ndarray


def sentiment_figures(scored: ScoredTexts) -> dict[str, Any]:
    """Compare what was read with the labels.

    Returns:
        `accuracy, macro_f1, auc, ece, ece_after_temperature, temperature, confusion, classes,
        per_class, n`, and the same figures per `language` and `length`. Labels of two classes are
        compared by p_positive against p_negative, those of three by the most likely class. For
        `ece_after_temperature` each half of the rows is cooled by the other half's temperature.
    """

    def of_rows(rows: np.ndarray) -> dict[str, Any]:
        return _figures(class_shares(scored.probabilities[rows], scored.label[rows]))

    return _figures(class_shares(scored.probabilities, scored.label)) | {
        "model_version": scored.model_version,
        "language": {
            str(name): of_rows(scored.language == name) for name in np.unique(scored.language)
        },
        "length": {
            name: of_rows(rows) for name, rows in _by_length(scored.num_characters) if rows.any()
        },
    }


def figure_groups(figures: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the figures of all texts, of each language and of each length, with their names."""
    groups = [("all", figures)]
    groups += [(f"language {name}", found) for name, found in figures["language"].items()]
    return groups + [(f"{name} characters", found) for name, found in figures["length"].items()]


def class_shares(probabilities: np.ndarray, label: np.ndarray) -> ClassShares:
    """Return the probabilities of the classes that labels tell apart.

    Args:
        probabilities: Negative, neutral, positive, shape (N, 3).
        label: Classes, shape (N,).
    """
    kept = [_NEGATIVE, _NEUTRAL, _POSITIVE] if (label == _NEUTRAL).any() else [_NEGATIVE, _POSITIVE]
    share = probabilities[:, kept].astype(np.float64)
    total = share.sum(1, keepdims=True)
    # A text without words is neutral for sure, which says nothing of the two other classes.
    share = np.where(total > 0, share / np.maximum(total, 1e-12), 1 / len(kept))
    actual = np.searchsorted(kept, label)
    return ClassShares(
        classes=tuple(CLASSES[k] for k in kept),
        share=share,
        cooled=cross_cooled(share, actual),
        actual=actual,
    )


def _by_length(lengths: np.ndarray) -> list[tuple[str, np.ndarray]]:
    groups, least = [], 0
    for most, name in _LENGTHS:
        groups.append((name, (lengths >= least) & (lengths <= (most or lengths.max()))))
        least = (most or 0) + 1
    return groups


def _figures(of: ClassShares) -> dict[str, Any]:
    """Return the figures of some rows."""
    num_classes = len(of.classes)
    predicted = of.share.argmax(1)
    counts = confusion(predicted, of.actual, num_classes)
    one_against_rest = [roc_auc(of.share[:, k], of.actual == k) for k in range(num_classes)]
    known = [value for value in one_against_rest if not np.isnan(value)]
    return {
        "n": len(of.actual),
        "accuracy": float((predicted == of.actual).mean()),
        "macro_f1": macro_f1(predicted, of.actual, num_classes),
        "auc": float(np.mean(known)) if known else None,
        "ece": calibration_error(of.share, of.actual),
        "ece_after_temperature": calibration_error(of.cooled, of.actual),
        "temperature": fit_probability_temperature(of.share, of.actual),
        "classes": list(of.classes),
        "confusion": counts.tolist(),
        "per_class": {name: _of_class(counts, place) for place, name in enumerate(of.classes)},
    }


def cross_cooled(share: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return probabilities at a temperature that was fitted on the other half of the rows."""
    cooled = share.copy()
    half = np.arange(len(share)) % 2 == 0
    if len(share) > 1:
        for rows in (half, ~half):
            cooled[rows] **= 1 / fit_probability_temperature(share[~rows], actual[~rows])
    return cooled / cooled.sum(1, keepdims=True)


def _of_class(counts: np.ndarray, place: int) -> dict[str, float]:
    hits, found, wanted = counts[place, place], counts[:, place].sum(), counts[place].sum()
    return {
        "precision": float(hits / max(1, found)),
        "recall": float(hits / max(1, wanted)),
        "f1": float(2 * hits / max(1, found + wanted)),
        "n": int(wanted),
    }
