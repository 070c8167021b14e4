"""Where an item's place comes from: what every source and feature says of it."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from recsys.query import Query
from recsys.recommender import Recommender
from serving.contributing import contributed
from serving.ranking import Ranked


def debug_items(
    recommender: Recommender, query: Query, ranked: Ranked, item_idx: np.ndarray
) -> list[dict[str, Any]]:
    """Explain items of one user's list, in the shape of `serving.schema.Debug`.

    Args:
        recommender: Of the live bundle.
        query: Of the user.
        ranked: What the list was made of.
        item_idx: What was shown, shape (k,). An item that is no candidate was explored: of it
            nothing is known. Without the ranker there are no features.
    """
    candidates, scores = ranked.candidates, ranked.scores
    told_by_ranker = contributed(recommender, query, ranked, item_idx)
    depth = candidates.depth
    places = {item: place for place, item in enumerate(candidates.item_idx[0].tolist())}
    told = []
    for k, item in enumerate(item_idx.tolist()):
        place = places.get(item)
        if place is None:
            told.append({"ranker_score": None, "sources": {}, "features": {}, "contributions": {}})
            continue
        voices = zip(
            candidates.sources,
            candidates.rank[0, place].tolist(),
            _finite(candidates.score[0, place]),
            strict=True,
        )
        of_item: dict[str, Any] = {
            "ranker_score": None,
            "sources": {
                source: {"rank": None if rank >= depth else rank + 1, "score": score or 0.0}
                for source, rank, score in voices
            },
            "features": {},
            "contributions": {},
        }
        if told_by_ranker is not None:
            says = told_by_ranker.says(k)
            of_item |= {
                "ranker_score": float(scores[0, place]),
                "features": dict(zip(says, _finite(says.values()), strict=True)),
                "contributions": told_by_ranker.by_feature(int(told_by_ranker.row[k])),
            }
        told.append(of_item)
    return told


def _finite(values: Iterable[float]) -> list[float | None]:
    """Return numbers as JSON has them: what is unknown is null."""
    return [float(value) if np.isfinite(value) else None for value in values]
