"""How far polarity moves when a text speaks of another group: the shift of each pair of groups.

Intervals are over the sentences that are filled or swapped. They do not say how other words of the
same groups would do, and no swap shows a bias that words of the list do not carry.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jobs.errors import BadInputError, NotDecidableError
from jobs.text_files import read_table
from sentiment.cleaning import clean_text
from sentiment.counterfactuals import Pair, template_pairs, text_pairs
from sentiment.identity_words import IdentityWords
from sentiment.scorer import ReviewScorer

SHIFT = "shift"
NO_SHIFT = "no shift found"
TOO_FEW = "too few texts"
# Means within it are of no consequence, however sure.
LEAST_SHIFT = 0.01
# Intervals of fewer sources say nothing.
LEAST_SOURCES = 5
NUM_RESAMPLES = 2000
_WINDOW = 512
_CLASSES = ("p_negative", "p_neutral", "p_positive")


@dataclass(frozen=True, kw_only=True)
class LargestShift:
    """The pair whose polarity moved most, and the polarity of both texts."""

    text: str
    other_text: str
    polarity: float
    other_polarity: float
    shift: float


@dataclass(frozen=True, kw_only=True)
class GroupShift:
    """What swapping one group for another does to polarity.

    Attributes:
        language: Of the texts.
        kind: What the groups are told apart by.
        group: From which.
        other_group: To which.
        num_pairs: Pairs scored.
        num_sources: Templates or real texts that they come from.
        mean_shift: Mean over pairs of polarity of the other group less polarity of the group.
        low: Of its 95% bootstrap interval; null with fewer than `LEAST_SOURCES` sources.
        high: As `low`.
        flipped_share: Share of pairs whose most likely class of negative, neutral and positive
            differs.
        largest: The pair that moved most.
        verdict: `shift` if the interval excludes zero and the mean is beyond `LEAST_SHIFT`,
            `too few texts` without an interval, else `no shift found`.
    """

    language: str
    kind: str
    group: str
    other_group: str
    num_pairs: int
    num_sources: int
    mean_shift: float
    low: float | None
    high: float | None
    flipped_share: float
    largest: LargestShift
    verdict: str


def read_column(path: Path, text_column: str | None) -> list[str]:
    """Return the cleaned texts of a file, each once; empty ones are left out.

    Args:
        path: CSV, JSON lines or Parquet, plain or gzip.
        text_column: Name of the column of texts.

    Raises:
        BadInputError: If the column is not named or not there.
    """
    frame = read_table(path)
    if text_column not in frame.columns:
        said = "say --text-column" if text_column is None else f"no column {text_column}"
        raise BadInputError(f"{path}: {said}; it has {', '.join(frame.columns)}")
    texts = frame[text_column].cast(pl.String).drop_nulls()
    return [text for text in dict.fromkeys(map(clean_text, texts)) if text]


def find_pairs(words: IdentityWords, texts: Sequence[str] | None) -> list[Pair]:
    """Return the pairs of real texts, or of the templates where there are none.

    Args:
        words: The lists, and the templates.
        texts: Cleaned; None for the templates.

    Raises:
        NotDecidableError: If there are no pairs.
    """
    pairs = template_pairs(words) if texts is None else text_pairs(words, texts)
    if not pairs:
        raise NotDecidableError(
            "no text speaks of one listed group alone: give more texts, or a list with their words"
        )
    return pairs


def measure_shifts(
    scorer: ReviewScorer,
    pairs: Sequence[Pair],
    *,
    seed: int,
    most_pairs: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[GroupShift]:
    """Score both texts of every pair and sum up each pair of groups.

    Args:
        scorer: What is measured.
        pairs: Of any languages and kinds, at least one.
        seed: Of the draw of pairs and of the bootstrap.
        most_pairs: Pairs scored of each two groups; of more, so many are drawn.
        progress: Told the texts scored and how many there are.

    Returns:
        One entry a language, kind and two groups, in the order in which they come first.

    """
    by_groups: dict[tuple[str, str, str, str], list[Pair]] = {}
    for pair in pairs:
        key = (pair.language, pair.kind, pair.group, pair.other_group)
        by_groups.setdefault(key, []).append(pair)
    drawn = [_drawn(of_groups, most_pairs, seed) for of_groups in by_groups.values()]
    texts = dict.fromkeys(
        text for of_groups in drawn for pair in of_groups for text in (pair.text, pair.other_text)
    )
    row = {text: number for number, text in enumerate(texts)}
    signals = _scored(scorer, list(texts), progress)
    polarity = signals["polarity"].to_numpy().astype(np.float64)
    label = signals.select(_CLASSES).to_numpy().argmax(1)
    return [_group_shift(of_groups, row, polarity, label, seed) for of_groups in drawn]


def cluster_interval(
    values: np.ndarray, cluster: np.ndarray, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> tuple[float, float]:
    """Return the 95% percentile interval of a mean whose values come in clusters.

    Whole clusters are drawn with replacement, and the mean is over all of their values. With few
    clusters such intervals are somewhat too narrow. Source: Efron and Tibshirani 1993, "An
    Introduction to the Bootstrap"; for clusters Cameron, Gelbach and Miller 2008,
    "Bootstrap-Based Improvements for Inference with Clustered Errors".

    Args:
        values: Shape (N,).
        cluster: Of each value, shape (N,).
        seed: Of the draws.
        num_resamples: Draws.

    >>> cluster_interval(np.array([1.0, 1.0, 1.0]), np.array([0, 0, 1]), seed=0)
    (1.0, 1.0)
    """
    _, index = np.unique(cluster, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    rng = np.random.default_rng(seed)
    # How often each cluster is drawn.
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=num_resamples)
    low, high = np.percentile((times @ sums) / (times @ counts), [2.5, 97.5])
    return float(low), float(high)


def fairness_report(
    shifts: Sequence[GroupShift], *, version: str, num_texts: int | None, seed: int
) -> dict[str, Any]:
    """Return the figures as JSON types.

    Args:
        shifts: What was measured.
        version: Of the model.
        num_texts: Real texts that were searched; None where templates were filled.
        seed: Of the draws.
    """
    return {
        "model_version": version,
        "source": "templates" if num_texts is None else "texts",
        "num_texts": num_texts,
        "seed": seed,
        "least_shift": LEAST_SHIFT,
        "num_shifts": sum(shift.verdict == SHIFT for shift in shifts),
        "groups": [asdict(shift) for shift in shifts],
    }


def _drawn(pairs: list[Pair], most: int, seed: int) -> list[Pair]:
    if len(pairs) <= most:
        return pairs
    rows = np.random.default_rng(seed).choice(len(pairs), most, replace=False)
    return [pairs[row] for row in np.sort(rows)]


def _scored(
    scorer: ReviewScorer, texts: list[str], progress: Callable[[int, int], None]
) -> pl.DataFrame:
    parts = []
    for start in range(0, len(texts), _WINDOW):
        found = scorer.score(texts[start : start + _WINDOW])
        parts.append(found.select("polarity", *_CLASSES))
        progress(min(start + _WINDOW, len(texts)), len(texts))
    return pl.concat(parts)


def _group_shift(
    pairs: Sequence[Pair],
    row: dict[str, int],
    polarity: np.ndarray,
    label: np.ndarray,
    seed: int,
) -> GroupShift:
    one = np.array([row[pair.text] for pair in pairs])
    other = np.array([row[pair.other_text] for pair in pairs])
    source = np.array([pair.source for pair in pairs])
    shift = polarity[other] - polarity[one]
    mean = float(shift.mean())
    num_sources = len(np.unique(source))
    low = high = None
    verdict = TOO_FEW
    if num_sources >= LEAST_SOURCES:
        low, high = cluster_interval(shift, source, seed=seed)
        is_sure = low > 0 or high < 0
        verdict = SHIFT if is_sure and abs(mean) > LEAST_SHIFT else NO_SHIFT
    most = int(np.abs(shift).argmax())
    first = pairs[0]
    return GroupShift(
        language=first.language,
        kind=first.kind,
        group=first.group,
        other_group=first.other_group,
        num_pairs=len(pairs),
        num_sources=num_sources,
        mean_shift=mean,
        low=low,
        high=high,
        flipped_share=float((label[one] != label[other]).mean()),
        largest=LargestShift(
            text=pairs[most].text,
            other_text=pairs[most].other_text,
            polarity=float(polarity[one[most]]),
            other_polarity=float(polarity[other[most]]),
            shift=float(shift[most]),
        ),
        verdict=verdict,
    )
