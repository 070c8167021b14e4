"""What a bundle holds, alive: fitted sources, ranker and item data, answering queries.

The same object ranks offline and serves requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import faiss
import numpy as np
import polars as pl

from recsys.candidates import Candidates, fuse
from recsys.interactions import IdMap
from recsys.item_features import ItemFeatures
from recsys.item_similarity import entries
from recsys.pair_features import pair_features
from recsys.query import Query
from recsys.ranker import Ranker
from recsys.rankings import best_first
from recsys.rerank import Experience, Shelf, rerank
from recsys.rerank_config import RerankConfig, Rule
from recsys.retrieval import RecommenderConfig, TrainedTowers
from recsys.sources import CandidateSource, NeighbourSource


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """The best k items of one user, best first; fewer than asked where fewer are allowed.

    Attributes:
        item_idx: int32, shape (k,).
        score: Ranker's score, higher is better, float32, shape (k,).
        source: Name of the source that ranked each item highest, `fresh` where it is explored.
        because: Item index of what the user bought that speaks most for each item, -1 where none
            does or nobody asked, int32, shape (k,).
        propensity: Chance that the item came to its place, given those above it, 1 where nothing
            is explored, float64, shape (k,).
    """

    item_idx: np.ndarray
    score: np.ndarray
    source: list[str]
    because: np.ndarray
    propensity: np.ndarray

    @classmethod
    def nothing(cls) -> "Recommended":
        """Return an empty list."""
        return cls(
            item_idx=np.zeros(0, dtype=np.int32),
            score=np.zeros(0, dtype=np.float32),
            source=[],
            because=np.zeros(0, dtype=np.int32),
            propensity=np.zeros(0),
        )


FRESH = "fresh"
"""The source of new items that are shown by luck, to learn how they do."""


@dataclass(frozen=True, kw_only=True)
class Reranking:
    """How lists are rearranged.

    Attributes:
        config: What is wanted.
        shelf: What is known of the catalogue.
        now: The moment of asking, microseconds since the epoch.
        seed: Of the exploration.
        min_relevance: Items that are left with less relevance are not shown, nor explored.
        complaints: See `recsys.rerank.Experience`.
        with_causes: Whether what speaks for each item is looked for.
    """

    config: RerankConfig
    shelf: Shelf
    now: int
    seed: int | Sequence[int] = 0
    min_relevance: float = 0.0
    complaints: np.ndarray | None = None
    with_causes: bool = True


@dataclass(frozen=True, kw_only=True)
class Recommender:
    """Everything needed to answer.

    Attributes:
        items: Item ids and indices.
        item_profiles: One row an item, in index order.
        features: Item features.
        text: Centred unit text vectors, float32, shape (I, D).
        sources: Candidate sources in voting order.
        towers: What the two-tower source is made of.
        index: FAISS index over the item vectors.
        ranker: Fitted ranker.
        config: What all of it was made with.
        text_centre: What was taken from the text vectors of items, shape (D,); None where it is not
            known, and no items can be added.
        retired: Items that are known for what their buyers thought of them and are never offered,
            bool, shape (I,); None for none.
    """

    items: IdMap
    item_profiles: pl.DataFrame
    features: ItemFeatures
    text: np.ndarray
    sources: list[CandidateSource]
    towers: TrainedTowers
    index: faiss.Index
    ranker: Ranker
    config: RecommenderConfig
    text_centre: np.ndarray | None = None
    retired: np.ndarray | None = None

    def rank(self, query: Query) -> tuple[Candidates, np.ndarray]:
        """Return candidates of B users and their final scores, -inf for padding, shape (B, K)."""
        if self.retired is not None:
            allowed = ~self.retired if query.allowed is None else query.allowed & ~self.retired
            query = replace(query, allowed=allowed)
        candidates = fuse(query, self.sources, self.config.candidates)
        features = pair_features(query, candidates, self.features, self.text)
        return candidates, self.ranker.score(features, candidates)

    def shelf(self, rules: Sequence[Rule] = ()) -> Shelf:
        """Return what reranking knows of this catalogue."""
        shelf = Shelf.of(
            self.items,
            self.item_profiles,
            self.features,
            self.towers.item_vectors,
            rules=rules,
        )
        if self.retired is None:
            return shelf
        return replace(shelf, factor=np.where(self.retired, 0.0, shelf.factor))

    def recommend(self, query: Query, k: int, reranking: Reranking | None = None) -> Recommended:
        """Return the best k items of one user, by the ranker alone or rearranged.

        Raises:
            ValueError: If the query holds another number of users than one, or k is below 1.
        """
        if len(query) != 1:
            raise ValueError(f"recommend answers one user at a time, not {len(query)}")
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        return self.shown(query, self.rank(query), k, reranking)

    def shown(
        self,
        query: Query,
        ranked: tuple[Candidates, np.ndarray],
        k: int,
        reranking: Reranking | None = None,
    ) -> Recommended:
        """Return what is shown of one user's ranked candidates, as `rank` returned them.

        Rearranged, the score is what is left of an item's relevance, in 0..1 before boosts.
        """
        candidates, scores = ranked
        if reranking is None:
            top = best_first(scores, min(k, scores.shape[1]))[0]
            top = top[np.isfinite(scores[0, top])]
            item_idx, score = candidates.item_idx[0, top], scores[0, top]
            explored, propensity = np.zeros(len(top), dtype=bool), np.ones(len(top))
        else:
            real = np.flatnonzero(np.isfinite(scores[0]))
            found = rerank(
                candidates.item_idx[0, real],
                scores[0, real],
                k,
                reranking.shelf,
                Experience(bought=query.bought, now=reranking.now, complaints=reranking.complaints),
                reranking.config,
                explorable=self._explorable(query, reranking),
                min_relevance=reranking.min_relevance,
                seed=reranking.seed,
            )
            item_idx, score = found.item_idx.astype(np.int32), found.relevance
            explored, propensity = found.explored, found.propensity
            top = np.where(found.place < 0, -1, real[found.place])
        voices = candidates.rank[0, top].argmin(1)
        return Recommended(
            item_idx=item_idx,
            score=score.astype(np.float32),
            source=[
                FRESH if by_luck else candidates.sources[voice]
                for by_luck, voice in zip(explored.tolist(), voices.tolist(), strict=True)
            ],
            because=(
                self._because(query, item_idx)
                if reranking is None or reranking.with_causes
                else np.full(len(item_idx), -1, dtype=np.int32)
            ),
            propensity=propensity,
        )

    def _explorable(self, query: Query, reranking: Reranking) -> np.ndarray | None:
        """Return the fresh items that a user may be offered; None where nothing is explored."""
        if not reranking.config.exploration or reranking.min_relevance:
            return None
        offered = reranking.shelf.fresh(reranking.now, reranking.config.fresh_days)
        offered[query.bought.item_idx] = False
        if query.allowed is not None:
            offered &= query.allowed
        return np.flatnonzero(offered)

    def _because(self, query: Query, item_idx: np.ndarray) -> np.ndarray:
        """Return the liked past item with the strongest table entry for each item, or -1."""
        liked = query.bought.item_idx[~(query.bought.sentiment < 0)]
        if not len(liked) or not len(item_idx):
            return np.full(len(item_idx), -1, dtype=np.int32)
        strength = np.zeros((len(liked), len(item_idx)), dtype=np.float32)
        wanted = np.broadcast_to(item_idx, strength.shape)
        for source in self.sources:
            if isinstance(source, NeighbourSource):
                strength += entries(source.table, liked, wanted)
        best = strength.argmax(0)
        return np.where(strength.max(0) > 0, liked[best], -1).astype(np.int32)
