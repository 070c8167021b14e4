"""What is popular among users of one language: for visitors of whom nothing else is known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recsys.interactions import Interactions
from recsys.query import Query
from recsys.recency import recent_popularity
from recsys.recommender import Recommender
from recsys.sources import PopularSource
from serving.ranking import Budget, Ranked, rank_within

MIN_PURCHASES = 500
"""Of fewer purchases too little is known; such visitors get what is popular with everybody."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """How strangers of one kind are answered.

    Attributes:
        recommender: Whose popular items are those of the segment.
        popular: Its ranking where nothing is filtered.
    """

    recommender: Recommender
    popular: Ranked


def segments_by_language(
    recommender: Recommender,
    bought: Interactions,
    language_U: pl.Series,
    offered: np.ndarray | None,
) -> Mapping[str, Segment]:
    """Return a segment for each language whose users have bought enough.

    Args:
        recommender: For everybody.
        bought: Of all users.
        language_U: The language that each user writes in most, null where unknown.
        offered: What may be shown at all, bool, shape (I,); None for everything.
    """
    found = {}
    for language in language_U.drop_nulls().unique().sort():
        speaks_U = (language_U == language).fill_null(False).to_numpy()
        rows = speaks_U[bought.user_idx]
        if np.count_nonzero(rows) < MIN_PURCHASES:
            continue
        popularity = recent_popularity(bought.keep(rows))
        sources = [
            replace(source, popularity=popularity) if isinstance(source, PopularSource) else source
            for source in recommender.sources
        ]
        of_segment = replace(recommender, sources=sources)
        popular = rank_within(of_segment, Query.of_stranger(offered), Budget())
        found[language] = Segment(recommender=of_segment, popular=popular)
    return found
