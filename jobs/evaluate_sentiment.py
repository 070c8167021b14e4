"""How well polarity agrees with labels: overall, per language, per length."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jobs.errors import BadInputError, NotDecidableError
from jobs.text_files import read_table
from sentiment.metrics import calibration_error, confusion, macro_f1, roc_auc
from sentiment.scorer import ReviewScorer
from sentiment.training import fit_probability_temperature

CLASSES = ("negative", "neutral", "positive")
_NEGATIVE, _NEUTRAL, _POSITIVE = range(3)
_STARS = {"1": _NEGATIVE, "2": _NEGATIVE, "3": _NEUTRAL, "4": _POSITIVE, "5": _POSITIVE}
_WINDOW = 2048
# Upper bounds in characters of what is called short and medium.
_LENGTHS = ((100, "up to 100"), (400, "101 to 400"), (None, "over 400"))


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """N texts and their classes 0 negative, 1 neutral, 2 positive, int64, shape (N,)."""

    texts: list[str]
    label: np.ndarray


def read_labelled(
    path: Path, text_column: str, label_column: str, mapping: str | None
) -> LabelledTexts:
    """Read texts with labels; rows without either are left out.

    Args:
        path: CSV, JSON lines or Parquet, plain or gzip.
        text_column: Name of the column of texts.
        label_column: Name of the column of labels: class names, or 1 to 5 stars.
        mapping: JSON object from label to class name, for labels of other kinds; labels mapped to
            null are left out.

    Raises:
        BadInputError: If a column is missing or a label is unknown.
    """
    frame = read_table(path)
    missing = [name for name in (text_column, label_column) if name not in frame.columns]
    if missing:
        raise BadInputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}"
        )
    frame = frame.select(
        text=pl.col(text_column).cast(pl.String), label=pl.col(label_column).cast(pl.String)
    ).drop_nulls()
    # A column of floats writes one star as 1.0.
    frame = frame.with_columns(pl.col("label").str.strip_chars().str.replace(r"^(\d+)\.0$", "$1"))
    classes = _classes(frame["label"].unique().to_list(), mapping)
    frame = frame.filter(pl.col("label").is_in(list(classes)))
    label = frame["label"].replace_strict(classes, return_dtype=pl.Int64).to_numpy()
    if not len(label):
        raise NotDecidableError(f"{path} has no rows with a text and a label")
    return LabelledTexts(texts=frame["text"].to_list(), label=label)


def _classes(labels: Sequence[str], mapping: str | None) -> dict[str, int]:
    """Return the class of every label that is to be read."""
    if mapping is not None:
        try:
            chosen = json.loads(mapping)
        except json.JSONDecodeError as error:
            raise BadInputError(f"--map is no JSON: {error}") from error
        if not isinstance(chosen, dict) or not set(chosen.values()) <= {*CLASSES, None}:
            raise BadInputError(f"--map must map labels to {', '.join(CLASSES)} or null: {mapping}")
        known = {k: CLASSES.index(v) for k, v in chosen.items() if v is not None}
        left_out = {k for k, v in chosen.items() if v is None}
    else:
        by_name = {name: place for place, name in enumerate(CLASSES)}
        lowered = {label: by_name[label.lower()] for label in labels if label.lower() in by_name}
        known = lowered or {label: _STARS[label] for label in labels if label in _STARS}
        left_out = set()
        if set(labels) <= {"0", "1"} or not known:
            raise BadInputError(
                f"cannot tell what the labels {', '.join(sorted(labels)[:8])} mean: say "
                '--map \'{"0": "negative", "1": "positive"}\''
            )
    unknown = sorted(set(labels) - set(known) - left_out)
    if unknown:
        raise BadInputError(
            f"labels without a class: {', '.join(unknown[:8])}; give them one in --map, or null"
        )
    return {label: place for label, place in known.items() if label in labels}


def evaluate_sentiment(
    scorer: ReviewScorer,
    labelled: LabelledTexts,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Score the texts and compare with their labels.

    Returns:
        `accuracy, macro_f1, auc, ece, ece_after_temperature, temperature, confusion, classes,
        per_class, n`, and the same figures per `language` and `length`. Labels of two classes are
        compared by p_positive against p_negative, those of three by the most likely class. For
        `ece_after_temperature` each half of the rows is cooled by the other half's temperature.
    """
    parts = []
    for start in range(0, len(labelled.texts), _WINDOW):
        parts.append(scorer.score(labelled.texts[start : start + _WINDOW]))
        progress(min(start + _WINDOW, len(labelled.texts)), len(labelled.texts))
    signals = pl.concat(parts)
    probabilities = signals.select("p_negative", "p_neutral", "p_positive").to_numpy()
    lengths = np.array([len(text) for text in labelled.texts])
    language = signals["language"].to_numpy()
    return _figures(probabilities, labelled.label) | {
        "model_version": scorer.version,
        "language": {
            str(name): _figures(probabilities[language == name], labelled.label[language == name])
            for name in np.unique(language)
        },
        "length": {
            name: _figures(probabilities[rows], labelled.label[rows])
            for name, rows in _by_length(lengths)
            if rows.any()
        },
    }


def _by_length(lengths: np.ndarray) -> list[tuple[str, np.ndarray]]:
    groups, least = [], 0
    for most, name in _LENGTHS:
        groups.append((name, (lengths >= least) & (lengths <= (most or lengths.max()))))
        least = (most or 0) + 1
    return groups


def _figures(probabilities: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Return the figures of some rows: of two classes where no label is neutral."""
    kept = [_NEGATIVE, _NEUTRAL, _POSITIVE] if (label == _NEUTRAL).any() else [_NEGATIVE, _POSITIVE]
    share = probabilities[:, kept].astype(np.float64)
    share /= np.maximum(share.sum(1, keepdims=True), 1e-12)
    actual = np.searchsorted(kept, label)
    predicted = share.argmax(1)
    counts = confusion(predicted, actual, len(kept))
    cooled = _cooled(share, actual)
    one_against_rest = [roc_auc(share[:, k], actual == k) for k in range(len(kept))]
    known = [value for value in one_against_rest if not np.isnan(value)]
    return {
        "n": len(label),
        "accuracy": float((predicted == actual).mean()),
        "macro_f1": macro_f1(predicted, actual, len(kept)),
        "auc": float(np.mean(known)) if known else None,
        "ece": calibration_error(share, actual),
        "ece_after_temperature": calibration_error(cooled, actual),
        "temperature": fit_probability_temperature(share, actual),
        "classes": [CLASSES[k] for k in kept],
        "confusion": counts.tolist(),
        "per_class": {CLASSES[k]: _of_class(counts, place) for place, k in enumerate(kept)},
    }


def _cooled(share: np.ndarray, actual: np.ndarray) -> np.ndarray:
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
