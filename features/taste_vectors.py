"""What a user's texts are about: where their purchases and their own words lie among all texts."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import scipy.sparse as sp

from features.text_vectors import centred_text, embedded_reviews
from features.visibility import Visible


@dataclass(frozen=True, kw_only=True)
class TasteConfig:
    """How purchases and words count.

    Attributes:
        half_life_days: After so many days they count half, above 0.
        sentiment_strength: How far polarity moves a weight: the factor is 1 + sentiment_strength x
            polarity, so what was hated counts little. Without a polarity it is 1. Within 0..1.
        own_words: Weight of the mean of the user's own reviews beside the mean of the texts of what
            they bought, at least 0.
    """

    half_life_days: float = 365.0
    sentiment_strength: float = 0.5
    own_words: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.half_life_days > 0:
            raise ValueError(f"half_life_days must be above 0, not {self.half_life_days}")
        if not 0 <= self.sentiment_strength <= 1:
            raise ValueError(f"sentiment_strength is within 0..1, not {self.sentiment_strength}")
        if not self.own_words >= 0:
            raise ValueError(f"own_words must be at least 0, not {self.own_words}")


def user_taste_vectors(
    purchases: pl.DataFrame,
    visible: Visible,
    signals: pl.LazyFrame,
    items: pl.DataFrame,
    config: TasteConfig = TasteConfig(),
) -> pl.DataFrame:
    """Return the taste of every user who bought or wrote something with words.

    Args:
        purchases: What `features.histories.purchase_history` returns.
        visible: Visible tables.
        signals: Review signals with `review_id, language, polarity, embedding`.
        items: `item_id, vector`, see `item_vectors`.
        config: How purchases and words count.

    Returns:
        `user_id, vector`: float32 of unit length, in the space of `items`, so that cosines of users
        and items can be compared; sorted by user. Users of whom no text is known have none.
    """
    felt = embedded_reviews(visible, signals).join(
        signals.select("review_id", "polarity").collect(), on="review_id"
    )
    known_items = items.select("item_id").with_row_index("_text")
    bought = purchases.join(known_items, on="item_id", maintain_order="left")
    users = pl.concat([bought["user_id"], felt["user_id"]]).unique().sort()
    place = pl.DataFrame({"user_id": users}).with_row_index("_row")
    parts = (
        (bought, bought["_text"].to_numpy(), items["vector"].to_numpy(), 1.0),
        (felt, np.arange(len(felt)), centred_text(felt["embedding"].to_numpy()), config.own_words),
    )
    taste = np.zeros((len(users), parts[0][2].shape[1]), dtype=np.float32)
    for rows, text, vectors, share in parts:
        row = rows.join(place, on="user_id", maintain_order="left")["_row"].to_numpy()
        weight = _weights(rows, visible.as_of, config)
        taste += share * _weighted_means(vectors, text, row, weight, len(users))
    norm = np.linalg.norm(taste, axis=1)
    known = norm > 0
    unit = (taste[known] / norm[known, None]).astype(np.float32)
    return pl.DataFrame(
        {
            "user_id": users.filter(pl.Series(known)),
            "vector": pl.Series(unit, dtype=items.schema["vector"]),
        }
    )


def item_vectors(item_ids: list[str], vectors: np.ndarray) -> pl.DataFrame:
    """Return `item_id, vector` of items with text: centred, unit length, float32.

    Args:
        item_ids: Ids in the order of the rows.
        vectors: What `features.text_vectors.item_text_vectors` returns.
    """
    centred = centred_text(vectors)
    known = np.abs(vectors).sum(1) > 0
    kind = pl.Array(pl.Float32, vectors.shape[1])
    return pl.DataFrame(
        {
            "item_id": pl.Series(item_ids, dtype=pl.String).filter(pl.Series(known)),
            "vector": pl.Series(centred[known], dtype=kind),
        }
    )


def _weights(rows: pl.DataFrame, as_of: datetime, config: TasteConfig) -> np.ndarray:
    age = (pl.lit(as_of) - pl.col("event_time")).dt.total_microseconds() / 86_400e6
    felt = 1.0 + config.sentiment_strength * pl.col("polarity").fill_null(0.0)
    weight = rows.select(weight=felt * (-age / config.half_life_days * np.log(2.0)).exp())
    return weight["weight"].to_numpy()


def _weighted_means(
    vectors: np.ndarray, text: np.ndarray, row: np.ndarray, weight: np.ndarray, num_rows: int
) -> np.ndarray:
    """Return the weighted mean of vectors[text] of each row, zero without any."""
    whole = np.bincount(row, weight, minlength=num_rows)
    share = (weight / np.maximum(whole, 1e-300)[row]).astype(np.float32)
    shares = sp.csr_array((share, (row, text)), shape=(num_rows, len(vectors)))
    return np.asarray(shares @ vectors, dtype=np.float32)
