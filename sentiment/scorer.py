"""`ReviewScorer`: cleaned texts in, one row of signals a text out, one model pass a text."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from sentiment.cleaning import clean_text, review_text
from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.encoder_files import file_sha256, locate_encoder
from sentiment.errors import WeightsError
from sentiment.language import detect_language
from sentiment.ngram_model import MAX_CHARACTERS, NgramModel
from sentiment.schema import EMBEDDING_DIM, ReviewSignals
from sentiment.star_head import StarHead, polarity_probabilities

WEIGHTS = Path(__file__).parent / "weights"
STAR_HEAD_FILE = WEIGHTS / "en_star_head.safetensors"
NGRAM_FILE = WEIGHTS / "zh_ngrams.safetensors"
# Raise it when cleaning, language routing or pooling changes what a text is scored as.
READING_VERSION = 1
_STAR_VALUES = np.arange(1, 6, dtype=np.float32)
# The Chinese model knows three classes: the middle of the stars that each of them covers.
_CLASS_STARS = np.array([1.5, 3.0, 4.5], dtype=np.float32)
_SIGNAL_COLUMNS = [name for name in ReviewSignals.columns() if name != "review_id"]


def model_version(config: EncoderConfig) -> str:
    """Return the version stamped on every row: it changes when anything that moves a value does.

    It names the encoder and carries eight hex digits over its weights, both heads, `max_tokens` and
    `READING_VERSION`.
    """
    _, weights_id = locate_encoder(config.name)
    parts = [
        weights_id,
        file_sha256(STAR_HEAD_FILE),
        file_sha256(NGRAM_FILE),
        f"{config.max_tokens}",
        f"{READING_VERSION}",
    ]
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]
    return f"{Path(config.name).name}-{digest}"


class ReviewScorer:
    """Scores texts; Chinese goes to the n-gram model, everything else to the encoder."""

    def __init__(
        self, encoder: TextEncoder, star_head: StarHead, ngrams: NgramModel, *, version: str
    ) -> None:
        self.version = version
        self._encoder = encoder
        self._star_head = star_head
        self._ngrams = ngrams

    @classmethod
    def load(cls, config: EncoderConfig) -> "ReviewScorer":
        """Load encoder and shipped heads.

        Raises:
            EncoderNotFoundError: If the encoder cannot be found.
            WeightsError: If shipped weights are missing, altered, or do not fit the encoder.
        """
        encoder, star_head = TextEncoder.load(config), StarHead.load(STAR_HEAD_FILE)
        wanted = star_head.config
        if encoder.dim != wanted.input_dim or encoder.num_layers < max(wanted.layers):
            raise WeightsError(
                f"encoder {config.name!r} has {encoder.num_layers} layers of width {encoder.dim}, "
                f"but {STAR_HEAD_FILE.name} reads layers {wanted.layers} of width "
                f"{wanted.input_dim}; choose the encoder that the head was trained on"
            )
        return cls(
            encoder,
            star_head,
            NgramModel.load(NGRAM_FILE),
            version=model_version(config),
        )

    def score(self, texts: Sequence[str]) -> pl.DataFrame:
        """Score texts as they come (they are cleaned here).

        Args:
            texts: N texts of any supported or unsupported language; may be empty strings.

        Returns:
            N rows in the order of `texts`, with every column of `ReviewSignals` but `review_id`.
            A text with nothing left after cleaning is neutral with a null embedding. A language
            without a model of its own is scored by the encoder; `language` says which it was.
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

    def _score_cleaned(self, texts: Sequence[str]) -> pl.DataFrame:
        languages = np.array([detect_language(text) for text in texts], dtype=object)
        empty = np.array([not text for text in texts], dtype=bool)
        chinese = languages == "zh"
        probabilities = np.tile(np.array([0.0, 1.0, 0.0], dtype=np.float32), (len(texts), 1))
        stars = np.full(len(texts), 3.0, dtype=np.float32)
        embedding = np.zeros((len(texts), EMBEDDING_DIM), dtype=np.float32)
        truncated = np.zeros(len(texts), dtype=bool)

        rows = np.flatnonzero(chinese)
        picked = [texts[row] for row in rows.tolist()]
        vectors, classes = self._ngrams.embed_and_classify(picked)
        embedding[rows, : vectors.shape[1]] = vectors
        probabilities[rows] = classes
        stars[rows] = classes @ _CLASS_STARS
        truncated[rows] = [len("".join(text.split())) > MAX_CHARACTERS for text in picked]

        rows = np.flatnonzero(~chinese & ~empty)
        pooled = self._encoder.pool([texts[row] for row in rows.tolist()])
        by_star = self._star_head.star_probabilities(pooled.hidden)
        embedding[rows] = pooled.embedding
        probabilities[rows] = polarity_probabilities(by_star)
        stars[rows] = by_star @ _STAR_VALUES
        truncated[rows] = pooled.truncated

        return _signals_frame(
            languages=languages,
            probabilities=probabilities,
            stars=stars,
            embedding=embedding,
            empty=empty,
            truncated=truncated,
            version=self.version,
        )


def _signals_frame(
    *,
    languages: np.ndarray,
    probabilities: np.ndarray,
    stars: np.ndarray,
    embedding: np.ndarray,
    empty: np.ndarray,
    truncated: np.ndarray,
    version: str,
) -> pl.DataFrame:
    negative, neutral, positive = np.clip(probabilities, 0.0, 1.0).T
    schema = ReviewSignals.create_empty().schema
    vectors = pl.Series("embedding", embedding, dtype=schema["embedding"])
    nothing = pl.Series(values=empty)
    return pl.DataFrame(
        {
            "model_version": pl.Series([version] * len(languages), dtype=pl.String),
            "language": pl.Series(languages.tolist(), dtype=pl.String),
            "p_negative": negative,
            "p_neutral": neutral,
            "p_positive": positive,
            "polarity": np.clip(positive - negative, -1.0, 1.0),
            "intensity": np.clip(1.0 - neutral, 0.0, 1.0),
            "stars_expected": np.clip(stars, 1.0, 5.0),
        }
    ).select(
        pl.all(),
        pl.lit(None, dtype=schema["emotions"]).alias("emotions"),
        pl.lit([], dtype=schema["aspects"]).alias("aspects"),
        pl.lit([], dtype=schema["needs"]).alias("needs"),
        pl.when(nothing).then(None).otherwise(vectors).alias("embedding"),
        pl.Series("truncated", truncated, dtype=pl.Boolean),
    )
