"""`ReviewScorer`: cleaned texts in, one row of signals a text out, one model pass a text."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl

from sentiment.aspects import ASPECTS_FILE, AspectList
from sentiment.cleaning import clean_text, review_text
from sentiment.encoder_files import file_sha256
from sentiment.errors import NotANumberError
from sentiment.language import detect_language, language_runs
from sentiment.model_file import load_model, read_metadata
from sentiment.model_reader import Heads, ModelReader
from sentiment.needs import RULES_FILE
from sentiment.prepared_texts import PreparedTexts
from sentiment.reader_config import ReaderConfig
from sentiment.reading import Opinion, Readings, Wish
from sentiment.schema import ReviewSignals
from sentiment.signals import signals_frame

if TYPE_CHECKING:
    from sentiment.explaining import Explanation

_Span = TypeVar("_Span", Opinion, Wish)
WEIGHTS = Path(__file__).parent / "weights"
ENGLISH_MODEL = WEIGHTS / "en_review_model.safetensors"
CHINESE_MODEL = WEIGHTS / "zh_review_model.safetensors"
# Raise it when cleaning, language routing or the gathering of spans changes what a text is scored
# as. Devices and precision are no part of a version: they move no signal of a whole text by more
# than about 0.01, and one in a hundred polarities of single aspects by up to 0.025.
READING_VERSION = 3
_SIGNAL_COLUMNS = [name for name in ReviewSignals.columns() if name != "review_id"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ScorerConfig(ReaderConfig):
    """Which models read, and how they run.

    Attributes:
        english: File of the review model for everything that is not Chinese.
        chinese: File of the review model for Chinese.
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
    read_metadata(config.chinese)
    files = (config.english, config.chinese, config.aspects, RULES_FILE)
    parts = [
        *(file_sha256(file) for file in files),
        f"{config.max_tokens}",
        f"{config.max_windows}",
        f"{READING_VERSION}",
    ]
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]
    return f"{Path(base).name}-{digest}"


@dataclass(frozen=True, kw_only=True)
class PreparedReviews:
    """Distinct cleaned texts, cut for both models, and which of them each review has.

    Attributes:
        review_ids: Of the reviews.
        positions: Text of each review.
        texts: The distinct cleaned texts.
        languages: Of each text.
        runs: For each model the runs of sentences it reads: text, start, end.
        prepared: For each model its runs as it reads them.
    """

    review_ids: list[str]
    positions: list[int]
    texts: list[str]
    languages: list[str]
    runs: list[list[tuple[int, int, int]]]
    prepared: list[PreparedTexts]


class ReviewScorer:
    """Scores texts: Chinese sentences are read by one model, all others by the other.

    `prepare`, `run` and `finish` may be done by scorers in different processes, of which only the
    one that runs the models needs an accelerator; `score_reviews` does all three.
    """

    def __init__(
        self, default: ModelReader, chinese: ModelReader, aspects: AspectList, *, version: str
    ) -> None:
        self.version = version
        self._default = default
        self._chinese = chinese
        self._readers = (default, chinese)
        self.config = default.config
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
            ModelReader(load_model(config.chinese), config),
            AspectList.load(config.aspects),
            version=version,
        )
        _log.info("model %s on %s in %s", version, config.device, config.precision_name)
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
        prepared = self._prepared([clean_text(text) for text in texts])
        return self._signals(prepared, self.run(prepared))

    def score_reviews(self, reviews: pl.DataFrame) -> pl.DataFrame:
        """Score a frame with `review_id`, `title`, `text`; equal texts are scored once.

        Returns:
            A frame that satisfies `ReviewSignals`, one row a review, in the order given.
        """
        prepared = self.prepare(reviews)
        return self.finish(prepared, self.run(prepared))

    def prepare(self, reviews: pl.DataFrame) -> PreparedReviews:
        """Clean and cut a frame with `review_id`, `title`, `text`."""
        texts = [
            review_text(title, text)
            for title, text in zip(reviews["title"], reviews["text"], strict=True)
        ]
        unique = list(dict.fromkeys(texts))
        position = {text: row for row, text in enumerate(unique)}
        return replace(
            self._prepared(unique),
            review_ids=reviews["review_id"].to_list(),
            positions=[position[text] for text in texts],
        )

    def run(self, prepared: PreparedReviews) -> list[list[Heads]]:
        """Run both models, one list of batches each."""
        return [
            reader.run(cut) for reader, cut in zip(self._readers, prepared.prepared, strict=True)
        ]

    def finish(self, prepared: PreparedReviews, said: Sequence[Sequence[Heads]]) -> pl.DataFrame:
        """Return a frame that satisfies `ReviewSignals`, one row a review, in the order given."""
        signals = self._signals(prepared, said)[prepared.positions]
        return signals.select(
            pl.Series("review_id", prepared.review_ids, dtype=pl.String), *_SIGNAL_COLUMNS
        )

    def explain(self, text: str) -> "Explanation":
        """Return which words moved the polarity of a cleaned text, by the model of its language."""
        is_chinese = detect_language(text) == "zh"
        return (self._chinese if is_chinese else self._default).explain(text)

    def _prepared(self, texts: list[str]) -> PreparedReviews:
        languages = [detect_language(text) for text in texts]
        runs: list[list[tuple[int, int, int]]] = [[] for _ in self._readers]
        for row, (text, language) in enumerate(zip(texts, languages, strict=True)):
            for start, end, is_chinese in language_runs(text, language):
                runs[is_chinese].append((row, start, end))
        prepared = [
            reader.prepare([texts[row][start:end] for row, start, end in of_reader])
            for reader, of_reader in zip(self._readers, runs, strict=True)
        ]
        return PreparedReviews(
            review_ids=[],
            positions=[],
            texts=texts,
            languages=languages,
            runs=runs,
            prepared=prepared,
        )

    def _signals(self, prepared: PreparedReviews, said: Sequence[Sequence[Heads]]) -> pl.DataFrame:
        readings = Readings.nothing(len(prepared.texts))
        for reader, cut, heads, runs in zip(
            self._readers, prepared.prepared, said, prepared.runs, strict=True
        ):
            _add(readings, reader.gather(cut, heads), runs)
        _finish(readings)
        _check_numbers(readings)
        return signals_frame(
            prepared.texts, prepared.languages, readings, self._aspects, version=self.version
        )


def _add(found: Readings, said: Readings, runs: Sequence[tuple[int, int, int]]) -> None:
    """Put what was read of runs of sentences onto their texts; sums are by tokens until `_finish`.

    Emotions count by the strongest run, spans move to their place in the text.
    """
    if not runs:
        return
    row = np.array([row for row, _, _ in runs])
    tokens = said.num_tokens[:, None].astype(np.float32)
    # What stands there for texts that nobody has read yet gives way to what is read of them.
    first = (found.num_tokens[row] == 0) & (said.num_tokens > 0)
    found.stars[row[first]] = 0
    np.add.at(found.stars, row, said.stars * tokens)
    np.add.at(found.embedding, row, said.embedding * tokens)
    np.add.at(found.num_tokens, row, said.num_tokens)
    np.logical_or.at(found.truncated, row, said.truncated)
    np.fmax.at(found.emotions, row, said.emotions)
    for place, (of_text, start, _) in enumerate(runs):
        found.terms[of_text] += [_moved(span, start) for span in said.terms[place]]
        found.clauses[of_text] += [_moved(span, start) for span in said.clauses[place]]
        found.wishes[of_text] += [_moved(wish, start) for wish in said.wishes[place]]


def _finish(found: Readings) -> None:
    read = found.num_tokens > 0
    found.stars[read] /= found.stars[read].sum(1, keepdims=True)
    length = np.linalg.norm(found.embedding[read], axis=1, keepdims=True)
    found.embedding[read] /= np.maximum(length, 1e-12)


def _check_numbers(found: Readings) -> None:
    """Make sure that no signal would be missing for want of a number.

    Raises:
        NotANumberError: If something is none.
    """
    # A sum is a number where all that it is of are.
    sums = found.stars.sum(1) + found.embedding.sum(1)
    for row, (terms, clauses) in enumerate(zip(found.terms, found.clauses, strict=True)):
        sums[row] += sum(span.polarity for span in (*terms, *clauses))
    for row, wishes in enumerate(found.wishes):
        sums[row] += sum(wish.probability for wish in wishes)
    num_wrong = int((~np.isfinite(sums)).sum())
    if num_wrong:
        raise NotANumberError(
            f"what the models say of {num_wrong} of {len(sums)} texts is not a number: weights are "
            "damaged, or this machine computes wrongly; nothing of these texts is kept"
        )


def _moved(span: _Span, by: int) -> _Span:
    """Return a span of a run as one of its text."""
    return replace(span, start=span.start + by, end=span.end + by) if by else span
