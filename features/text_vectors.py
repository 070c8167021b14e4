"""One text vector an item, from what people wrote about it and what the shop says of it."""

import numpy as np
import polars as pl

from features.visibility import Visible


def item_text_vectors(
    item_ids: list[str], visible: Visible, signals: pl.LazyFrame, item_texts: pl.LazyFrame | None
) -> np.ndarray:
    """Return unit vectors, zero where an item has no text, float32, shape (I, D).

    The mean of the visible reviews' embeddings in the shop's most frequent language (models of
    different languages have spaces of their own), plus the embedding of title and description.

    Args:
        item_ids: External ids in the order of the rows wanted.
        visible: Visible tables.
        signals: Review signals with `review_id, language, embedding`.
        item_texts: `item_id, language, embedding` of title and description, or None.
    """
    embedded = embedded_reviews(visible, signals).drop_nulls("item_id")
    language = embedded["language"][0] if len(embedded) else None
    position = {item_id: row for row, item_id in enumerate(item_ids)}
    dim = signals.collect_schema()["embedding"].shape[0]  # type: ignore[attr-defined]
    total = np.zeros((len(item_ids), dim), dtype=np.float32)
    _add_mean(total, embedded, position)
    if item_texts is not None:
        described = item_texts.drop_nulls("embedding").collect()
        if language is not None:
            described = described.filter(pl.col("language") == language)
        _add_mean(total, described, position)
    norm = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.maximum(norm, 1e-9)


def embedded_reviews(visible: Visible, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return visible reviews with words, in the language of most reviews of items.

    Returns:
        `review_id, user_id, item_id, event_time, language, embedding`.
    """
    embedded = (
        visible.reviews.lazy()
        .select("review_id", "user_id", "item_id", "event_time")
        .join(
            signals.select("review_id", "language", "embedding").drop_nulls("embedding"),
            on="review_id",
        )
        .collect()
    )
    language = _most_frequent(embedded.drop_nulls("item_id")["language"])
    return embedded if language is None else embedded.filter(pl.col("language") == language)


def text_centre(vectors: np.ndarray) -> np.ndarray:
    """Return the mean of the known vectors, zero where none is, shape (D,)."""
    known = np.abs(vectors).sum(1) > 0
    return vectors[known].mean(0) if known.any() else np.zeros(vectors.shape[1], vectors.dtype)


def centred_text(vectors: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
    """Subtract the centre and scale to unit length; rows of which nothing is known stay zero.

    Args:
        vectors: Of items, zero where there is no text, shape (I, D).
        centre: Shape (D,); None for the mean of these, see `text_centre`.
    """
    known = np.abs(vectors).sum(1) > 0
    middle = text_centre(vectors) if centre is None else centre
    centred = np.where(known[:, None], vectors - middle, 0.0)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.maximum(norm, 1e-9)).astype(np.float32)


def _most_frequent(languages: pl.Series) -> str | None:
    """Return the commonest language, of equals the first in the alphabet; None of nothing."""
    counts = languages.value_counts().sort(["count", "language"], descending=[True, False])
    return counts["language"][0] if len(counts) else None


def _add_mean(total: np.ndarray, frame: pl.DataFrame, position: dict[str, int]) -> None:
    frame = frame.filter(pl.col("item_id").is_in(list(position)))
    if frame.is_empty():
        return
    rows = frame["item_id"].replace_strict(position, return_dtype=pl.Int64).to_numpy()
    part = np.zeros_like(total)
    np.add.at(part, rows, frame["embedding"].to_numpy())
    total += part / np.maximum(np.bincount(rows, minlength=len(total)), 1)[:, None]
