"""Needs that say the same, gathered: counted by people, told in the words of one of them.

Shape suffixes: N needs, D embedding.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.cluster import AgglomerativeClustering

MOST_NEEDS = 4000
QUOTES = 3


@dataclass(frozen=True, kw_only=True)
class NeedCluster:
    """Needs of one meaning.

    Attributes:
        need: The one nearest to all the others, verbatim.
        kind: Of `sentiment.needs.NEED_KINDS`, the most common.
        num_needs: How many.
        num_users: Of how many people.
        item_ids: Of which items, the most often meant first, at most five.
        quotes: Up to `QUOTES` of them in their own words, the nearest first, each once.
        num_recent: Of people who voiced it within the last `recent_days`.
    """

    need: str
    kind: str
    num_needs: int
    num_users: int
    item_ids: tuple[str, ...]
    quotes: tuple[str, ...]
    num_recent: int


def cluster_needs(
    needs: pl.DataFrame,
    vectors_ND: np.ndarray,
    *,
    distance: float = 0.35,
    least_users: int = 2,
    recent_days: int = 28,
) -> list[NeedCluster]:
    """Gather needs by average linkage of cosine distances, those of most people first.

    Args:
        needs: `item_id, review_id, user_id, need, kind, event_time`, at most `MOST_NEEDS`.
        vectors_ND: Of their words, unit length.
        distance: Above it, two groups are not one.
        least_users: Groups of fewer people are left out: a wish of one is not a market's.
        recent_days: Before the last need.

    Raises:
        ValueError: If there are more needs than `MOST_NEEDS`, or not as many vectors.
    """
    if len(needs) > MOST_NEEDS or len(needs) != len(vectors_ND):
        raise ValueError(
            f"{len(needs)} needs and {len(vectors_ND)} vectors; at most {MOST_NEEDS} of both"
        )
    if len(needs) < 2:
        return []
    label_N = AgglomerativeClustering(
        n_clusters=None,  # type: ignore[arg-type]
        metric="cosine",
        linkage="average",
        distance_threshold=distance,
    ).fit_predict(vectors_ND)
    since = needs.select(
        pl.col("event_time") > pl.col("event_time").max() - pl.duration(days=recent_days)
    )
    recent_N = since.to_series().to_numpy()
    found = []
    for label in np.unique(label_N):
        rows = np.flatnonzero(label_N == label)
        own = needs[rows]
        if own["user_id"].n_unique() < least_users:
            continue
        likeness = (vectors_ND[rows] @ vectors_ND[rows].T).sum(axis=1)
        order = np.argsort(-likeness, kind="stable")
        words = list(dict.fromkeys(own["need"].gather(order).to_list()))
        found.append(
            NeedCluster(
                need=words[0],
                kind=Counter(own["kind"].to_list()).most_common(1)[0][0],
                num_needs=len(own),
                num_users=own["user_id"].n_unique(),
                item_ids=tuple(
                    name for name, _ in Counter(own["item_id"].to_list()).most_common(5)
                ),
                quotes=tuple(words[:QUOTES]),
                num_recent=own.filter(pl.Series(recent_N[rows]))["user_id"].n_unique(),
            )
        )
    return sorted(found, key=lambda one: (-one.num_users, one.need))
