"""Candidate sources: each scores the whole catalogue for a batch of users.

One protocol; a source is a name and a `score`. Scores of different sources are not comparable:
`recsys.candidates` fuses their rankings.

Shape suffixes: B users, I items.
"""

from dataclasses import dataclass
from typing import Protocol

import faiss
import numpy as np
import scipy.sparse as sp

from recsys.history_weights import HistoryWeights, browse_weights, normalised
from recsys.interactions import Histories
from recsys.item_similarity import entries
from recsys.query import Query
from recsys.query_tower import QueryTower
from recsys.retrieval_index import search


class CandidateSource(Protocol):
    """What every source can do."""

    @property
    def name(self) -> str:
        """The source's name, as it stands in reports and reasons."""
        ...

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I); 0 means "nothing to say"."""
        ...


@dataclass(frozen=True, kw_only=True)
class NeighbourSource:
    """Weighted sum of the table rows of what was bought."""

    name: str
    table: sp.csr_matrix
    weights: HistoryWeights

    @property
    def num_items(self) -> int:
        """Size of the catalogue I."""
        return len(self.table.indptr) - 1

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        weights = self.weights.of(query.bought)
        return _dense(query.bought.matrix(weights, self.num_items) @ self.table)

    def by_last(self, query: Query, item_idx: np.ndarray) -> np.ndarray:
        """Return what the last thing bought alone says of items, float32, shape (B, K).

        Args:
            query: B users; of those without a history nothing is said.
            item_idx: Shape (B, K), -1 for padding.
        """
        bought = query.bought
        last = np.full(len(query), -1)
        some = bought.lengths > 0
        last[some] = bought.item_idx[bought.indptr[1:][some] - 1]
        return entries(self.table, last, np.maximum(item_idx, 0))


@dataclass(frozen=True, kw_only=True)
class BrowseSource:
    """What was looked at and not bought, most recent and strongest first, and its neighbours."""

    name: str
    table: sp.csr_matrix

    @property
    def num_items(self) -> int:
        """Size of the catalogue I."""
        return len(self.table.indptr) - 1

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        browsed = query.browsed
        seen = browsed.matrix(browse_weights(browsed), self.num_items)
        return _dense(seen @ self.table + seen)


@dataclass(frozen=True, kw_only=True)
class PopularSource:
    """The same scores for everybody."""

    name: str
    popularity: np.ndarray

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        return np.tile(self.popularity.astype(np.float32), (len(query), 1))


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """Inner product of the user's text taste and each item's centred text vector."""

    name: str
    vectors: np.ndarray
    weights: HistoryWeights

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        return text_taste(query.bought, self.vectors, self.weights) @ self.vectors.T


@dataclass(frozen=True, kw_only=True)
class TwoTowerSource:
    """Inner product of the query tower's vector and each item's vector, lifted above zero.

    With an index only its `depth` best allowed items score; without one every item does.
    """

    name: str
    tower: QueryTower
    item_vectors: np.ndarray
    index: faiss.Index | None = None
    depth: int = 400

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        vectors = self.tower.vectors(query.bought, query.browsed)
        if self.index is None:
            scores = vectors @ self.item_vectors.T
            return scores - scores.min(1, keepdims=True)
        values, found = search(self.index, vectors, self.depth, query.allowed)
        real = found >= 0
        lowest = np.where(real, values, np.inf).min(1, keepdims=True)
        highest = np.where(real, values, -np.inf).max(1, keepdims=True)
        lifted = (values - lowest + 0.01 * (highest - lowest) + 1e-6)[real]
        scores = np.zeros((len(query), len(self.item_vectors)), dtype=np.float32)
        scores[np.nonzero(real)[0], found[real]] = lifted
        return scores


def text_taste(bought: Histories, vectors: np.ndarray, weights: HistoryWeights) -> np.ndarray:
    """Return the weighted mean of the text vectors of what was bought, float32, shape (B, D)."""
    rows = bought.matrix(normalised(weights.of(bought), bought), len(vectors))
    return np.asarray(rows @ vectors, dtype=np.float32)


def _dense(scores: sp.spmatrix | np.ndarray) -> np.ndarray:
    dense = scores.toarray() if sp.issparse(scores) else scores  # type: ignore[union-attr]
    return np.asarray(dense, dtype=np.float32)
