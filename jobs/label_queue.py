"""Which texts a person should label next, as a CSV file to fill in, and what comes back of it.

Reasons, each with a strength between 0 and 1:

- `disagrees`: the label and what the text clearly says point to opposite sides: sarcasm, or stars
  that were set wrong. Strength: their distance on the scale of polarity, halved.
- `likely_error`: confident learning takes the label for wrong. Strength: one minus the probability
  of the label. Source: Northcutt et al. 2021, "Confident Learning: Estimating Uncertainty in
  Dataset Labels". It wants probabilities of a model that was not trained on these texts.
- `uncertain`: the two most likely classes are close. Strength: one minus their distance. Source:
  Scheffer et al. 2001, "Active Hidden Markov Models for Information Extraction" (least margin).
- `diverse`: least like all texts chosen before. Strength: one minus the greatest cosine. Source:
  Sener & Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach".

The reasons take turns, and no text is chosen whose cosine to a chosen one is above 0.95.

Shape suffixes: N texts, C classes, D embedding width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import polars as pl

from jobs.csv_cells import escape_formulas
from jobs.errors import NotDecidableError
from jobs.evaluate_sentiment import PROBABILITIES, check_columns, label_classes
from jobs.sentiment_figures import CLASSES
from jobs.text_files import read_table

REASONS = ("disagrees", "likely_error", "uncertain", "diverse")
SIGNALS = ("language", *PROBABILITIES, "polarity", "embedding")
NEW_LABEL = "new_label"
_NEAR_DUPLICATE = 0.95
# From here on a text clearly takes a side.
_CLEAR_POLARITY = 0.5
# Up to here a decision between two classes is close.
_CLOSE_MARGIN = 0.5
_NO_LABEL = -1
_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class LabelQueue:
    """The texts to label next.

    Attributes:
        rows: `id, text, language, reason, strength, label_now, p_negative, p_neutral, p_positive,
            new_label`, the last one null; as they go into the file, safe for spreadsheets.
        num_near_duplicates: Texts left out since a chosen one says nearly the same.
        num_wordless: Texts left out since nothing is left of them after cleaning.
    """

    rows: pl.DataFrame
    num_near_duplicates: int
    num_wordless: int


def read_candidates(
    path: Path,
    text_column: str,
    *,
    label_column: str | None = None,
    id_column: str | None = None,
    mapping: str | None = None,
) -> pl.DataFrame:
    """Read the texts to choose from; rows without a text are left out.

    Args:
        path: CSV, JSON lines or Parquet, plain or gzip.
        text_column: Name of the column of texts.
        label_column: Name of the column of labels, read as `sentirec sentiment evaluate` does.
        id_column: Name of the column that tells rows apart; default: the number of the row, from 1.
        mapping: JSON object from label to class name or null, for labels of other kinds.

    Returns:
        `id` and `text`, strings, and `label`, Int64: 0 negative, 1 neutral, 2 positive, or null.

    Raises:
        BadInputError: If a column is missing or a label is unknown.
        NotDecidableError: If no row has a text.
    """
    wanted = [name for name in (text_column, label_column, id_column) if name is not None]
    frame = read_table(path, text_columns=[text_column, *([id_column] if id_column else [])])
    check_columns(frame, path, *wanted)
    frame = frame.select(
        id=pl.col(id_column) if id_column else pl.int_range(1, pl.len() + 1),
        text=text_column,
        label=pl.col(label_column) if label_column else pl.lit(None, pl.Int64),
    ).with_columns(pl.col("id", "text").cast(pl.String))
    frame = frame.filter(pl.col("text").str.strip_chars() != "")
    if frame.is_empty():
        raise NotDecidableError(f"{path} has no rows with a text in column {text_column}")
    if label_column is None:
        return frame
    return frame.with_columns(label=label_classes(frame["label"], mapping))


def label_queue(candidates: pl.DataFrame, signals: pl.DataFrame, *, limit: int) -> LabelQueue:
    """Choose the texts that are worth most when a person labels them.

    Args:
        candidates: What `read_candidates` returns, N rows.
        signals: `SIGNALS` of the same rows.
        limit: Rows of the queue; fewer where there are not as many different texts.
    """
    rows = pl.concat([candidates, signals], how="horizontal").filter(
        pl.col("embedding").is_not_null()
    )
    strengths = reason_strengths(
        rows.select(PROBABILITIES).to_numpy().astype(np.float64),
        rows["polarity"].to_numpy(),
        rows["label"].fill_null(_NO_LABEL).to_numpy(),
    )
    choice = _Choice(strengths, rows["embedding"].to_numpy())
    return LabelQueue(
        rows=_queue_frame(rows, choice.rows(limit)),
        num_near_duplicates=choice.num_near_duplicates,
        num_wordless=len(candidates) - len(rows),
    )


def reason_strengths(
    probabilities: np.ndarray, polarity: np.ndarray, label: np.ndarray
) -> dict[str, np.ndarray]:
    """Return how strongly each reason but `diverse` holds for each text; 0 where it does not.

    Args:
        probabilities: Negative, neutral, positive, shape (N, 3).
        polarity: From -1 to 1, shape (N,).
        label: Classes, -1 where there is none, shape (N,).
    """
    side = np.where(label == _NO_LABEL, 0, label - 1)
    opposed = (side * polarity < 0) & (np.abs(polarity) >= _CLEAR_POLARITY)
    ordered = np.sort(probabilities, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    return {
        "disagrees": np.where(opposed, np.abs(side - polarity) / 2, 0.0),
        "likely_error": _likely_errors(probabilities, label),
        "uncertain": np.where(margin < _CLOSE_MARGIN, 1 - margin, 0.0),
    }


def _likely_errors(probabilities: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return one minus the probability of each label that confident learning takes for wrong."""
    strength = np.zeros(len(label))
    labelled = np.flatnonzero(label != _NO_LABEL)
    present, place = np.unique(label[labelled], return_inverse=True)
    if len(present) < 2:
        # Where all labels are the same there is nothing to mistake one for.
        return strength
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    share = probabilities[labelled][:, present] + 1e-12
    share /= share.sum(1, keepdims=True)
    # One process: forking would clash with the threads of the model that has just run.
    wrong = find_label_issues(place, share, n_jobs=1, min_examples_per_class=0)
    quality = get_label_quality_scores(place, share, method="self_confidence")
    strength[labelled] = np.where(wrong, 1 - quality, 0.0)
    return strength


class _Choice:
    """Takes texts for one reason after the other, never one that is like a chosen one."""

    def __init__(self, strengths: dict[str, np.ndarray], embedding_ND: np.ndarray) -> None:
        self._strengths = strengths
        length = np.linalg.norm(embedding_ND, axis=1, keepdims=True)
        self._embedding_ND = embedding_ND / np.maximum(length, 1e-12)
        # Greatest cosine to a chosen text.
        self._nearest = np.full(len(embedding_ND), -1.0)
        self._is_chosen = np.zeros(len(embedding_ND), dtype=bool)

    @property
    def num_near_duplicates(self) -> int:
        return int((~self._is_chosen & (self._nearest > _NEAR_DUPLICATE)).sum())

    def rows(self, limit: int) -> list[tuple[int, str, float]]:
        """Return up to `limit` triples of row, reason and strength."""
        chosen: list[tuple[int, str, float]] = []
        sources = {name: self._strongest(strength) for name, strength in self._strengths.items()}
        sources["diverse"] = self._least_alike()
        # The last to run dry is `diverse`, which takes every text that is not a near duplicate.
        for reason in cycle(REASONS):
            found = next(sources[reason], None)
            if found is not None:
                row, strength = found
                chosen.append((row, reason, strength))
                self._take(row)
            if len(chosen) == limit or (found is None and reason == "diverse"):
                return chosen
        return chosen

    def _take(self, row: int) -> None:
        self._is_chosen[row] = True
        np.maximum(self._nearest, self._embedding_ND @ self._embedding_ND[row], out=self._nearest)

    def _strongest(self, strength: np.ndarray) -> Iterator[tuple[int, float]]:
        for row in np.argsort(-strength, kind="stable").tolist():
            if strength[row] <= 0:
                return
            if not self._is_chosen[row] and self._nearest[row] <= _NEAR_DUPLICATE:
                yield row, float(strength[row])

    def _least_alike(self) -> Iterator[tuple[int, float]]:
        while not self._is_chosen.all():
            nearest = np.where(self._is_chosen, np.inf, self._nearest)
            row = int(nearest.argmin())
            if nearest[row] > _NEAR_DUPLICATE:
                return
            yield row, float(np.clip(1 - nearest[row], 0, 1))


def _queue_frame(rows: pl.DataFrame, chosen: list[tuple[int, str, float]]) -> pl.DataFrame:
    picked = rows[[row for row, _, _ in chosen]]
    label_now = pl.Series(CLASSES).gather(picked["label"])
    return picked.select(
        escape_formulas("id"),
        escape_formulas("text"),
        "language",
        pl.Series("reason", [reason for _, reason, _ in chosen], dtype=pl.String),
        pl.Series("strength", [strength for _, _, strength in chosen], dtype=pl.Float64),
        label_now.alias("label_now"),
        pl.col(PROBABILITIES).cast(pl.Float64),
        pl.lit(None, pl.String).alias(NEW_LABEL),
    ).with_columns(pl.col("strength", *PROBABILITIES).round(_DIGITS))
