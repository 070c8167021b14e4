"""`ReviewScorer`: cleaned texts in, one row of signals a text out, one model pass a text."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sentiment.aspects import ASPECTS_FILE, AspectList
from sentiment.cleaning import clean_text, review_text
from sentiment.encoder_files import file_sha256
from sentiment.language import detect_language, language_runs
from sentiment.model_file import is_review_model, load_model, read_metadata
from sentiment.model_reader import ModelReader, ReaderConfig
from sentiment.needs import RULES_FILE
from sentiment.ngram_model import NgramModel
from sentiment.ngram_reader import NgramReader
from sentiment.reading import Opinion, Reader, Readings, Wish
from sentiment.schema import ReviewSignals
from sentiment.signals import signals_frame

if TYPE_CHECKING:
    from sentiment.explaining import Explanation

WEIGHTS = Path(__file__).parent / "weights"
ENGLISH_MODEL = WEIGHTS / "en_review_model.safetensors"
CHINESE_MODEL = WEIGHTS / "zh_ngrams.safetensors"
# Raise it when cleaning, language routing or the gathering of spans changes what a text is scored
# as. Devices and precision are no part of a version: they move no signal by more than 0.01.
READING_VERSION = 2
_SIGNAL_COLUMNS = [name for name in ReviewSignals.columns() if name != "review_id"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ScorerConfig(ReaderConfig):
    """Which models read, and how they run.

    Attributes:
        english: File of the review model for everything that is not Chinese.
        chinese: File of the review model for Chinese, or of an n-gram model.
        aspects: The list of canonical aspects, see `AspectList`.
    """

    english: Path = ENGLISH_MODEL
    chinese: Path = CHINESE_MODEL
    aspects: Path = ASPECTS_FILE


def model_version(config: ScorerConfig) -> str:
    """Return the version stamped on every row: it changes when anything that moves a value does.

    It names the base encoder of the English model and carries eight hex digits over both models,
    the list of aspects, the rules for needs, the windows and `READING_VERSION`.

    Raises:
        AspectListError: If the list of aspects is not there.
        WeightsError: If a model is not there or cannot be read.
    """
    AspectList.load(config.aspects)
    base = json.loads(read_metadata(config.english).get("base", '{"name": "own"}'))["name"]
    is_review_model(config.chinese)
    files = (config.english, config.chinese, config.aspects, RULES_FILE)
    parts = [
        *(file_sha256(file) for file in files),
        f"{config.max_tokens}",
        f"{config.max_windows}",
        f"{READING_VERSION}",
    ]
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]
    return f"{Path(base).name}-{digest}"


class ReviewScorer:
    """Scores texts: Chinese sentences are read by one model, all others by the other."""

    def __init__(
        self, default: Reader, chinese: Reader, aspects: AspectList, *, version: str
    ) -> None:
        self.version = version
        self._default = default
        self._chinese = chinese
        self._aspects = aspects

    @classmethod
    def load(cls, config: ScorerConfig) -> "ReviewScorer":
        """Load both models and the list of aspects.

        Raises:
            AspectListError: If the list of aspects cannot be read.
            EncoderNotFoundError: If the base encoder of a model cannot be found.
            WeightsError: If a model is missing or damaged, or was trained over other weights.
        """
        version = model_version(config)
        scorer = cls(
            ModelReader(load_model(config.english), config),
            _chinese_reader(config),
            AspectList.load(config.aspects),
            version=version,
        )
        _log.info("model %s on %s in %s", version, config.device, "bf16" if config.bf16 else "fp32")
        return scorer

    def score(self, texts: Sequence[str]) -> pl.DataFrame:
        """Score texts as they come (they are cleaned here).

        Args:
            texts: N texts of any supported or unsupported language; may be empty strings.

        Returns:
            N rows in the order of `texts`, with every column of `ReviewSignals` but `review_id`;
            spans are characters of the cleaned text. A text with nothing left after cleaning is
            neutral with a null embedding. A language without a model of its own is scored by the
            default; `language` says which it was.
        """
        return self._score_cleaned([clean_text(text) for text in texts])

    def score_reviews(self, reviews: pl.DataFrame) -> pl.DataFrame:
        """Score a frame with `review_id`, `title`, `text`; equal texts are scored once.

        Returns:
            A frame that satisfies `ReviewSignals`, one row a review, in the order given.
        """
        texts = [
            review_text(title, text)
            for title, text in zip(reviews["title"], reviews["text"], strict=True)
        ]
        unique = list(dict.fromkeys(texts))
        position = {text: row for row, text in enumerate(unique)}
        signals = self._score_cleaned(unique)[[position[text] for text in texts]]
        return signals.select(reviews["review_id"], *_SIGNAL_COLUMNS)

    def explain(self, text: str) -> "Explanation":
        """Return which words moved the polarity of a cleaned text, by the model of its language."""
        is_chinese = detect_language(text) == "zh"
        return (self._chinese if is_chinese else self._default).explain(text)

    def _score_cleaned(self, texts: Sequence[str]) -> pl.DataFrame:
        languages = [detect_language(text) for text in texts]
        runs = [
            (row, *run)
            for row, (text, language) in enumerate(zip(texts, languages, strict=True))
            for run in language_runs(text, language)
        ]
        readings = Readings.nothing(len(texts))
        for is_chinese, reader in ((False, self._default), (True, self._chinese)):
            of_reader = [(row, a, b) for row, a, b, chinese in runs if chinese is is_chinese]
            said = reader.read([texts[row][a:b] for row, a, b in of_reader])
            _add(readings, said, of_reader)
        _finish(readings)
        return signals_frame(texts, languages, readings, self._aspects, version=self.version)


def _chinese_reader(config: ScorerConfig) -> Reader:
    if is_review_model(config.chinese):
        return ModelReader(load_model(config.chinese), config)
    return NgramReader(NgramModel.load(config.chinese))


def _add(found: Readings, said: Readings, runs: Sequence[tuple[int, int, int]]) -> None:
    """Put what was read of runs of sentences onto their texts; sums are by tokens until `_finish`.

    Emotions count by the strongest run, spans move to their place in the text.
    """
    if not runs:
        return
    row = np.array([row for row, _, _ in runs])
    tokens = said.num_tokens[:, None].astype(np.float32)
    first = found.num_tokens[row] == 0
    found.stars[row[first]] = 0
    np.add.at(found.stars, row, said.stars * tokens)
    np.add.at(found.embedding, row, said.embedding * tokens)
    np.add.at(found.num_tokens, row, said.num_tokens)
    np.logical_or.at(found.truncated, row, said.truncated)
    np.fmax.at(found.emotions, row, said.emotions)
    for place, (of_text, start, _) in enumerate(runs):
        found.terms[of_text] += [_moved(span, start) for span in said.terms[place]]
        found.clauses[of_text] += [_moved(span, start) for span in said.clauses[place]]
        found.wishes[of_text] += [
            Wish(
                start=wish.start + start,
                end=wish.end + start,
                kind=wish.kind,
                probability=wish.probability,
            )
            for wish in said.wishes[place]
        ]


def _finish(found: Readings) -> None:
    read = found.num_tokens > 0
    found.stars[read] /= found.stars[read].sum(1, keepdims=True)
    length = np.linalg.norm(found.embedding[read], axis=1, keepdims=True)
    found.embedding[read] /= np.maximum(length, 1e-12)


def _moved(span: Opinion, by: int) -> Opinion:
    if not by:
        return span
    return Opinion(
        start=span.start + by,
        end=span.end + by,
        polarity=span.polarity,
        confidence=span.confidence,
    )
