"""What a reader finds in texts, before it becomes a row of signals."""

from dataclasses import dataclass, field

import numpy as np

from sentiment.emotions import SHOP_EMOTIONS
from sentiment.needs import NeedKind
from sentiment.review_model import NUM_STARS
from sentiment.schema import EMBEDDING_DIM


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What a span of a text judges.

    Attributes:
        start: First character.
        end: The character after the last.
        polarity: p_positive - p_negative, in [-1, 1].
        confidence: In [0, 1]: how sure it is that the span is a term; for a clause, how sure its
            polarity is.
    """

    start: int
    end: int
    polarity: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the needs head says of a clause.

    Attributes:
        kind: Of the need, if it is one.
        probability: That it voices a need.
        certain: The probability reaches the model's threshold.
    """

    start: int
    end: int
    kind: NeedKind
    probability: float
    certain: bool


@dataclass(kw_only=True)
class Readings:
    """What was found in N texts.

    Attributes:
        stars: Probabilities of one to five stars, float32, shape (N, 5).
        emotions: Strengths of `SHOP_EMOTIONS`, NaN where the reader does not know one, (N, 9).
        embedding: Unit length, float32, shape (N, EMBEDDING_DIM).
        num_tokens: Tokens read, int64, shape (N,).
        truncated: Which texts had more windows than are read, bool, shape (N,).
        terms: Aspect terms of each text.
        clauses: Clauses of each text with the polarity of each.
        wishes: What the needs head says of each clause; none where it was never fitted.
    """

    stars: np.ndarray
    emotions: np.ndarray
    embedding: np.ndarray
    num_tokens: np.ndarray
    truncated: np.ndarray
    terms: list[list[Opinion]] = field(default_factory=list)
    clauses: list[list[Opinion]] = field(default_factory=list)
    wishes: list[list[Wish]] = field(default_factory=list)

    @classmethod
    def nothing(cls, num_texts: int) -> "Readings":
        """Return what is said of texts that hold nothing to read: three stars for certain."""
        return cls(
            stars=np.tile(np.eye(NUM_STARS, dtype=np.float32)[2], (num_texts, 1)),
            emotions=np.full((num_texts, len(SHOP_EMOTIONS)), np.nan, dtype=np.float32),
            embedding=np.zeros((num_texts, EMBEDDING_DIM), dtype=np.float32),
            num_tokens=np.zeros(num_texts, dtype=np.int64),
            truncated=np.zeros(num_texts, dtype=bool),
            terms=[[] for _ in range(num_texts)],
            clauses=[[] for _ in range(num_texts)],
            wishes=[[] for _ in range(num_texts)],
        )
