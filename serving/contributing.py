"""What did most for each item of an answer: parts of its score, and a reason that names one.

Asked for, not told by default: what the trees add costs far more than the trees' scores do.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.contributions import Contributions, contributions
from recsys.pair_features import pair_features
from recsys.query import Query
from recsys.recommender import Recommender
from serving.ranking import Ranked
from serving.reasons import LIKED, Told, reason_of_group
from serving.snapshot import Found, Snapshot


@dataclass(frozen=True, kw_only=True)
class Contributed:
    """What adds up to the ranker's score of the items of one user's list.

    Attributes:
        parts: Of the items that are candidates.
        features: Of all candidates, float32, shape (K, F).
        place: Of each item of the list among the candidates, -1 where it is none, shape (k,).
        row: Of each item of the list among the parts, -1 likewise, shape (k,).
    """

    parts: Contributions
    features: np.ndarray
    place: np.ndarray
    row: np.ndarray

    def by_group(self) -> list[dict[str, float] | None]:
        """Return what each group of features adds to each item; None of an explored one."""
        of_groups = {group: added.tolist() for group, added in self.parts.by_group().items()}
        return [
            None if row < 0 else {group: added[row] for group, added in of_groups.items()}
            for row in self.row.tolist()
        ]

    def by_feature(self, row: int) -> dict[str, float]:
        """Return what each feature adds, with `base` and `start`: all that the score is made of."""
        told = dict(zip(self.parts.names, self.parts.features[row].tolist(), strict=True))
        return told | {"base": float(self.parts.base[row]), "start": self.parts.start}

    def says(self, k: int) -> dict[str, float]:
        """Return the features of an item of the list by name."""
        return dict(zip(self.parts.names, self.features[self.place[k]].tolist(), strict=True))


def contributed(
    recommender: Recommender, query: Query, ranked: Ranked, item_idx: np.ndarray
) -> Contributed | None:
    """Return what adds up to the scores of a list; None where it was made without the ranker.

    Args:
        recommender: Of the live bundle.
        query: Of one user.
        ranked: What the list was made of.
        item_idx: The list, shape (k,).
    """
    if ranked.lacking is not None:
        return None
    candidates = ranked.candidates
    features = pair_features(query, candidates, recommender.features, recommender.text)
    places = {item: place for place, item in enumerate(candidates.item_idx[0].tolist())}
    place = np.array([places.get(item, -1) for item in item_idx.tolist()], dtype=np.int64)
    is_candidate = place >= 0
    return Contributed(
        parts=contributions(recommender.ranker, features, candidates, place[is_candidate]),
        features=features[0],
        place=place,
        row=np.where(is_candidate, np.cumsum(is_candidate) - 1, -1),
    )


def add_contributions(
    items: list[dict[str, Any]], found: Found, query: Query | None, snapshot: Snapshot
) -> None:
    """Add what each group of features adds to each item's score; a reason then names the largest.

    Args:
        items: In the shape of `serving.schema.RecommendedItem`, in the order of what was found.
        found: What was found.
        query: Of one user; None for a stranger.
        snapshot: What it was found in.
    """
    query, shown = query or Query.of_stranger(), found.shown
    told = contributed(snapshot.recommender, query, found.ranked, shown.item_idx)
    if told is None:
        return
    bought = query.bought
    felt = dict(zip(bought.item_idx.tolist(), bought.sentiment.tolist(), strict=True))
    for k, (item, groups) in enumerate(zip(items, told.by_group(), strict=True)):
        if groups is None:
            continue
        cause, reason, named = int(shown.because[k]), item["reason"], None
        if reason is not None:
            quote = reason["quote"]
            speaks_of = Told(
                says=told.says(k),
                because=snapshot.catalogue.name(cause) if cause >= 0 else None,
                felt=felt.get(cause, np.nan),
                praised=quote["aspect"] if quote and quote["polarity"] > LIKED else None,
            )
            of_group = reason_of_group(groups, speaks_of)
            if of_group is not None:
                named, reason["text"] = of_group
        item["contributions"] = {"groups": groups, "start": told.parts.start, "named": named}
