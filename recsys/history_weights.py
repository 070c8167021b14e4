"""How much each past item counts: recency by steps back, and how the user felt about it.

What was browsed counts by recency and by how strongly it was browsed.
"""

from dataclasses import dataclass

import numpy as np

from recsys import history_kernels as kernels
from recsys.interactions import Histories

BROWSE_DECAY = 0.9


@dataclass(frozen=True, kw_only=True)
class HistoryWeights:
    """Weights of history rows.

    Attributes:
        decay: Factor a row loses for each row that came after it, in (0, 1].
        sentiment_strength: How far polarity moves a weight: the factor is
            1 + sentiment_strength x polarity, so a hated item at strength 1 counts nothing. Rows
            without a review count as they are. In [0, 1].
    """

    decay: float = 0.8
    sentiment_strength: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be within (0, 1], not {self.decay}")
        if not 0 <= self.sentiment_strength <= 1:
            raise ValueError(
                f"sentiment_strength must be within [0, 1], not {self.sentiment_strength}"
            )

    def of(self, histories: Histories) -> np.ndarray:
        """Return the weight of every history row, float32, shape (H,)."""
        return kernels.history_weights(
            histories.indptr, histories.sentiment, self.decay, self.sentiment_strength
        )


def browse_weights(browsed: Histories, decay: float = BROWSE_DECAY) -> np.ndarray:
    """Return the weight of every browsed row, float32, shape (H,).

    Log of one plus the browse strength, times `decay` for each row that came after it.
    """
    return kernels.browse_weights(browsed.indptr, browsed.sentiment, decay)


def normalised(weights: np.ndarray, histories: Histories) -> np.ndarray:
    """Return weights that sum to one over each user's rows, float32, shape (H,)."""
    return kernels.normalised(histories.indptr, weights)
