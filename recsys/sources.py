"""Candidate sources: each ranks the catalogue for a batch of users.

One protocol. `rank` finds the best items and costs what was bought, not what there is; `score` is
of every item, for full ranking offline. Scores of different sources are not comparable:
`recsys.candidates` fuses their rankings.

Shape suffixes: B users, I items, C categories.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import faiss
import numpy as np
import scipy.sparse as sp

from recsys import kernels
from recsys.history_weights import HistoryWeights, browse_weights, normalised
from recsys.interactions import Histories
from recsys.item_similarity import entries
from recsys.query import Query
from recsys.query_tower import QueryTower
from recsys.rankings import (
    Ranking,
    Sums,
    most_bought,
    ranked_alike,
    ranked_dense,
    ranked_sparse,
    without_bought,
)
from recsys.retrieval_index import search
from recsys.text_index import DEPTH as TEXT_DEPTH


class CandidateSource(Protocol):
    """What every source can do."""

    @property
    def name(self) -> str:
        """The source's name, as it stands in reports and reasons."""
        ...

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I); 0 means "nothing to say"."""
        ...

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered, at most `depth` of them, in score's order."""
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
        return _dense(self._sums(query).matrix())

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered."""
        return ranked_sparse(self._sums(query), query, depth)

    def _sums(self, query: Query) -> Sums:
        return Sums.of(query.bought, self.weights.of(query.bought), self.table)

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
        return _dense(self._sums(query).matrix())

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered."""
        return ranked_sparse(self._sums(query), query, depth)

    def _sums(self, query: Query) -> Sums:
        weights = browse_weights(query.browsed)
        return Sums.of(query.browsed, weights, self.table, with_self=True)


@dataclass(frozen=True, kw_only=True)
class PopularSource:
    """The same scores for everybody."""

    name: str
    popularity: np.ndarray

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        return np.tile(self.popularity.astype(np.float32), (len(query), 1))

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered."""
        return ranked_alike(self._order, self.popularity.astype(np.float32), query, depth)

    @cached_property
    def _order(self) -> np.ndarray:
        """Items anybody took, most popular first."""
        order = np.argsort(-self.popularity, kind="stable")
        return order[self.popularity[order] > 0]


@dataclass(frozen=True, kw_only=True)
class CategorySource:
    """What is popular of late in the categories of what was bought.

    A user's score of an item is the sum over categories of how much of the past is in the category,
    times the item's share of its recent purchases.

    Attributes:
        name: Of the source.
        categories: How much each item says for each category, sparse, shape (I, C).
        popular: Share of each item in a category's recent purchases, the largest, sparse (C, I).
        weights: Of what was bought.
    """

    name: str
    categories: sp.csr_matrix
    popular: sp.csr_matrix
    weights: HistoryWeights

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        return _dense(self._sums(query).matrix())

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered."""
        return ranked_sparse(self._sums(query), query, depth)

    def _sums(self, query: Query) -> Sums:
        past = Sums.of(query.bought, self.weights.of(query.bought), self.categories)
        return past.through(self.popular)


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """Inner product of the user's text taste and each item's centred text vector.

    Best items come from the index, told by exact products; without one, from every item's score.
    """

    name: str
    vectors: np.ndarray
    weights: HistoryWeights
    index: faiss.Index | None = None

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items, float32, shape (B, I)."""
        return text_taste(query.bought, self.vectors, self.weights) @ self.vectors.T

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered."""
        if self.index is None:
            return ranked_dense(self.score(query), query, depth)
        taste = text_taste(query.bought, self.vectors, self.weights)
        looked_at = max(TEXT_DEPTH, depth + most_bought(query))
        _, near = search(self.index, taste, looked_at, query.allowed)

        def products(item_idx: np.ndarray) -> np.ndarray:
            return np.einsum("bd,bkd->bk", taste, self.vectors[item_idx])

        told = np.where(near < 0, -np.inf, products(np.maximum(near, 0)))
        order = np.argsort(-told, axis=1, kind="stable")
        near, told = np.take_along_axis(near, order, 1), np.take_along_axis(told, order, 1)
        scale = np.maximum(told[:, :1], 1e-9)
        return Ranking(
            item_idx=without_bought(query, np.where(told > 0, near, -1), depth),
            score_of=lambda item_idx: (products(item_idx) / scale).astype(np.float32),
        )


@dataclass(frozen=True, kw_only=True)
class TwoTowerSource:
    """Inner product of the query tower's vector and each item's vector: a log-odds, any sign.

    Best items come from the index; without one, from every item's score.
    """

    name: str
    tower: QueryTower
    item_vectors: np.ndarray
    index: faiss.Index | None = None

    def score(self, query: Query) -> np.ndarray:
        """Return scores of all items above the user's worst, float32, shape (B, I)."""
        scores = self._vectors(query) @ self.item_vectors.T
        return scores - scores.min(1, keepdims=True)

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered; scores are less that of the best item."""
        vectors = self._vectors(query)
        if self.index is None:
            scores = vectors @ self.item_vectors.T
            found = ranked_dense(scores - scores.min(1, keepdims=True) + 1e-6, query, depth)
            best = found.item_idx
        else:
            _, near = search(self.index, vectors, depth + most_bought(query), query.allowed)
            best = without_bought(query, near, depth)

        def products(item_idx: np.ndarray) -> np.ndarray:
            return np.einsum("bd,bkd->bk", vectors, self.item_vectors[item_idx])

        first = products(np.maximum(best[:, :1], 0))
        return Ranking(item_idx=best, score_of=lambda item_idx: products(item_idx) - first)

    def _vectors(self, query: Query) -> np.ndarray:
        return self.tower.vectors(query.bought, query.browsed)


def text_taste(bought: Histories, vectors: np.ndarray, weights: HistoryWeights) -> np.ndarray:
    """Return the weighted mean of the text vectors of what was bought, float32, shape (B, D)."""
    shares = normalised(weights.of(bought), bought)
    return kernels.bag_sums(vectors, bought.item_idx, bought.lengths, shares)


def _dense(scores: sp.spmatrix | np.ndarray) -> np.ndarray:
    dense = scores.toarray() if sp.issparse(scores) else scores  # type: ignore[union-attr]
    return np.asarray(dense, dtype=np.float32)
