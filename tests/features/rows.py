"""Small tables in the shape of the store, from the few columns that a test is about."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from features.schema import Events, Items
from sentiment.schema import EMBEDDING_DIM, Reviews, ReviewSignals

DAY_0 = datetime(2024, 1, 1, tzinfo=UTC)


def day(days: float) -> datetime:
    return DAY_0 + timedelta(days=days)


def events(*rows: Mapping[str, Any]) -> pl.DataFrame:
    """Rows of user_id, item_id, event_type (purchase), day, seq (the row's place), session_id..."""
    filled = [
        {"event_type": "purchase", "seq": place, **row, "event_time": day(row["day"])}
        for place, row in enumerate(rows)
    ]
    for place, row in enumerate(filled):
        row.setdefault("event_id", f"e{place}")
    return _frame(filled, Events.create_empty().schema)


def reviews(*rows: Mapping[str, Any]) -> pl.DataFrame:
    filled = [
        {
            "review_id": f"r{place}",
            "seq": place,
            "source": "review",
            **row,
            "event_time": day(row["day"]),
        }
        for place, row in enumerate(rows)
    ]
    return _frame(filled, Reviews.create_empty().schema)


def items(*rows: Mapping[str, Any]) -> pl.DataFrame:
    return _frame([{"categories": [], **row} for row in rows], Items.create_empty().schema)


def signals(
    polarity: Mapping[str, float],
    language: Mapping[str, str] | None = None,
    aspects: Mapping[str, list[dict[str, Any]]] | None = None,
) -> pl.DataFrame:
    """One row a review id; its embedding points along the axis of its place."""
    rows = [
        {
            "review_id": review_id,
            "model_version": "m",
            "language": (language or {}).get(review_id, "en"),
            "p_negative": max(-value, 0.0),
            "p_neutral": 1.0 - abs(value),
            "p_positive": max(value, 0.0),
            "polarity": value,
            "intensity": abs(value),
            "stars_expected": 3.0 + 2.0 * value,
            "mixed": False,
            "aspects": (aspects or {}).get(review_id, []),
            "needs": [],
            "truncated": False,
        }
        for review_id, value in polarity.items()
    ]
    frame = _frame(rows, ReviewSignals.create_empty().schema)
    vectors = np.eye(len(rows), EMBEDDING_DIM, dtype=np.float32)
    return frame.with_columns(pl.Series("embedding", vectors, dtype=frame.schema["embedding"]))


def _frame(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    known = [{name: row.get(name) for name in schema} for row in rows]
    return pl.DataFrame(known, schema=dict(schema))
