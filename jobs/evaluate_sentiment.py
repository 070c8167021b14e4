"""How well polarity agrees with labels in files of any kind."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jobs.errors import BadInputError, NotDecidableError
from jobs.sentiment_figures import CLASSES, ScoredTexts, sentiment_figures
from jobs.text_files import read_table
from sentiment.scorer import ReviewScorer

PROBABILITIES = ("p_negative", "p_neutral", "p_positive")
STAR_CLASSES = {"1": 0, "2": 0, "3": 1, "4": 2, "5": 2}
_WINDOW = 2048

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Show no progress."""


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
        NotDecidableError: If no row has a text and a label.
    """
    frame = read_table(path, text_columns=[text_column])
    check_columns(frame, path, text_column, label_column)
    frame = frame.select(text=pl.col(text_column).cast(pl.String), label=label_column)
    frame = frame.drop_nulls()
    frame = frame.with_columns(label=label_classes(frame["label"], mapping)).drop_nulls()
    if frame.is_empty():
        raise NotDecidableError(f"{path} has no rows with a text and a label")
    return LabelledTexts(texts=frame["text"].to_list(), label=frame["label"].to_numpy())


def check_columns(frame: pl.DataFrame, path: Path, *wanted: str) -> None:
    """Raise `BadInputError` if a frame that was read from a file lacks a column."""
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise BadInputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}"
        )


def label_classes(labels: pl.Series, mapping: str | None) -> pl.Series:
    """Return the classes of labels of any kind.

    Args:
        labels: Class names, 1 to 5 stars, or what `mapping` knows; blank ones count as null.
        mapping: JSON object from label to class name or null.

    Returns:
        0 negative, 1 neutral, 2 positive; null where there is no label or it is mapped to null.

    Raises:
        BadInputError: If a label is unknown.
    """
    labels = labels.cast(pl.String).str.strip_chars()
    # A column of floats writes one star as 1.0.
    labels = labels.str.replace(r"^(\d+)\.0$", "$1").replace("", None)
    classes = _classes(labels.drop_nulls().unique().to_list(), mapping)
    return labels.replace_strict(classes, default=None, return_dtype=pl.Int64)


def _classes(labels: Sequence[str], mapping: str | None) -> dict[str, int]:
    """Return the class of every label that is to be read."""
    if mapping is not None:
        try:
            chosen = json.loads(mapping)
        except json.JSONDecodeError as error:
            raise BadInputError(f"--map is no JSON: {error}") from error
        if not isinstance(chosen, dict) or any(
            value not in (*CLASSES, None) for value in chosen.values()
        ):
            raise BadInputError(f"--map must map labels to {', '.join(CLASSES)} or null: {mapping}")
        known = {k: CLASSES.index(v) for k, v in chosen.items() if v is not None}
        left_out = {k for k, v in chosen.items() if v is None}
    elif not labels:
        return {}
    else:
        by_name = {name: place for place, name in enumerate(CLASSES)}
        lowered = {label: by_name[label.lower()] for label in labels if label.lower() in by_name}
        known = lowered or {label: STAR_CLASSES[label] for label in labels if label in STAR_CLASSES}
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


def score_texts(
    scorer: ReviewScorer,
    texts: Sequence[str],
    columns: Sequence[str],
    *,
    progress: Progress = _silent,
) -> pl.DataFrame:
    """Return some signals of texts, in their order; the other signals are not kept in memory."""
    parts = [scorer.score([]).select(columns)]
    for start in range(0, len(texts), _WINDOW):
        parts.append(scorer.score(texts[start : start + _WINDOW]).select(columns))
        progress(min(start + _WINDOW, len(texts)), len(texts))
    return pl.concat(parts)


def score_labelled(
    scorer: ReviewScorer, labelled: LabelledTexts, *, progress: Progress = _silent
) -> ScoredTexts:
    """Score labelled texts."""
    columns = ("language", *PROBABILITIES)
    signals = score_texts(scorer, labelled.texts, columns, progress=progress)
    return ScoredTexts(
        probabilities=signals.select(PROBABILITIES).to_numpy(),
        label=labelled.label,
        language=signals["language"].to_numpy(),
        num_characters=np.array([len(text) for text in labelled.texts]),
        model_version=scorer.version,
    )


def evaluate_sentiment(
    scorer: ReviewScorer, labelled: LabelledTexts, *, progress: Progress = _silent
) -> dict[str, Any]:
    """Score the texts and compare with their labels; see `sentiment_figures`."""
    return sentiment_figures(score_labelled(scorer, labelled, progress=progress))
