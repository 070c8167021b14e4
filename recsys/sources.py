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

from recsys import history_kernels, kernels
from recsys.history_weights import HistoryWeights, browse_weights, normalised
from recsys.interactions import Histories
from recsys.query import Query
from recsys.query_tower import QueryTower
from recsys.rankings import (
    Ranking,
    Sums,
    near,
    num_looked_up,
    ranked_alike,
    ranked_dense,
    ranked_sums,
    without_bought,
)
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
        bought = query.bought
        weights = self.weights.of(bought)
        return ranked_sums(bought.indptr, bought.item_idx, weights, self.table, query, depth)

    def _sums(self, query: Query) -> Sums:
        return Sums.of(query.bought, self.weights.of(query.bought), self.table)

    def by_last(self, query: Query, item_idx: np.ndarray) -> np.ndarray:
        """Return what the last thing bought alone says of items, float32, shape (B, K).

        Args:
            query: B users; of those without a history nothing is said.
            item_idx: Shape (B, K), -1 for padding.
        """
        bought, table = query.bought, self.table
        parts = (table.indptr, table.indices, table.data)
        return kernels.last_entries(bought.indptr, bought.item_idx, *parts, item_idx)


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
        looks, weights = query.browsed, browse_weights(query.browsed)
        rows = (looks.indptr, looks.item_idx, weights)
        return ranked_sums(*rows, self.table, query, depth, with_self=True)

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
        return np.tile(self._scores, (len(query), 1))

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered."""
        return ranked_alike(self._order, self._scores, query, depth)

    @cached_property
    def _scores(self) -> np.ndarray:
        return self.popularity.astype(np.float32)

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
        return _dense(self._past(query).through(self.popular).matrix())

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered."""
        past = self._past(query)
        return ranked_sums(past.indptr, past.column, past.value, self.popular, query, depth)

    def _past(self, query: Query) -> Sums:
        return Sums.of(query.bought, self.weights.of(query.bought), self.categories)


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
        looked_at = np.maximum(TEXT_DEPTH, num_looked_up(query, depth))
        found = near(self.index, taste, looked_at, query.allowed)
        bought, place = query.bought, kernels.scratch(len(self.vectors))
        best, largest = kernels.best_products(
            taste, self.vectors, found, bought.indptr, bought.item_idx, depth, place
        )
        scale = np.maximum(largest, 1e-9)[:, None]
        return Ranking(
            item_idx=best,
            score_of=lambda item_idx: kernels.products(taste, self.vectors, item_idx) / scale,
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
        scores = self.vectors(query) @ self.item_vectors.T
        return scores - scores.min(1, keepdims=True)

    def rank(self, query: Query, depth: int) -> Ranking:
        """Return the best items that may be offered; scores are less that of the best item."""
        looked_up = query.near if query.allowed is None else None
        if looked_up is not None and looked_up.item_idx.shape[1] < self.looked_up(query, depth):
            looked_up = None
        vectors = self.vectors(query) if looked_up is None else looked_up.vectors
        if looked_up is not None:
            best = without_bought(query, looked_up.item_idx, depth, len(self.item_vectors))
        elif self.index is None:
            scores = vectors @ self.item_vectors.T
            found = ranked_dense(scores - scores.min(1, keepdims=True) + 1e-6, query, depth)
            best = found.item_idx
        else:
            found = near(self.index, vectors, num_looked_up(query, depth), query.allowed)
            best = without_bought(query, found, depth, len(self.item_vectors))

        def products(item_idx: np.ndarray) -> np.ndarray:
            return kernels.products(vectors, self.item_vectors, item_idx)

        first = products(best[:, :1])
        return Ranking(item_idx=best, score_of=lambda item_idx: products(item_idx) - first)

    def looked_up(self, query: Query, depth: int) -> int:
        """Return how many items have to be looked up so that `depth` are left."""
        return min(int(num_looked_up(query, depth).max()), len(self.item_vectors))

    def vectors(self, query: Query) -> np.ndarray:
        """Return query vectors, float32, shape (B, D)."""
        return self.tower.vectors(query.bought, query.browsed)


def text_taste(bought: Histories, vectors: np.ndarray, weights: HistoryWeights) -> np.ndarray:
    """Return the weighted mean of the text vectors of what was bought, float32, shape (B, D)."""
    shares = normalised(weights.of(bought), bought)
    return history_kernels.bag_sums(vectors, bought.item_idx, bought.lengths, shares)


def _dense(scores: sp.spmatrix | np.ndarray) -> np.ndarray:
    dense = scores.toarray() if sp.issparse(scores) else scores  # type: ignore[union-attr]
    return np.asarray(dense, dtype=np.float32)
