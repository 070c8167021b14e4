"""Items like an item: in what is written of it, in what it is, in who looks at it and buys it.

Several voices rank what is like an item, and their rankings are fused (reciprocal rank fusion;
source: Cormack, Clarke and Büttcher 2009). An item that nobody has touched yet still has its words,
its categories, brand and price.

Shape suffixes: I items, T text width, D width of item vectors, N neighbours.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import scipy.sparse as sp

from recsys.interactions import concat_ranges
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.recommender import Recommender
from recsys.retrieval_index import search
from recsys.sources import BrowseSource, NeighbourSource

WEIGHTS: Mapping[str, float] = {
    "text": 1.0,
    "attributes": 1.5,
    "viewed": 1.0,
    "taste": 0.25,
    "bought": 0.25,
}
"""How much each voice counts. What appeals to the same buyers, or is bought by them, completes an
item as often as it replaces it, so it counts for less."""
_CONSTANT = 10.0
_PRICE = list(DENSE_COLUMNS).index("price_cents")
# A category with more items than this says little, and costs.
_MOST_MEMBERS = 5000
_PRICE_WEIGHT = 0.5
_CHUNK = 50_000
# FAISS adds constructors to its SWIG classes at run time, which no type checker sees.
_faiss: Any = faiss


@dataclass(frozen=True, kw_only=True)
class Similar:
    """Items like one item, the most alike first.

    Attributes:
        item_idx: int32, shape (N,).
        score: Share of the votes that each could have had, in 0..1, float64, shape (N,).
        voices: Names of `WEIGHTS` that say so of each, the loudest first.
    """

    item_idx: np.ndarray
    score: np.ndarray
    voices: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class SimilarItems:
    """What is needed to find them.

    Attributes:
        features: Of all items.
        text: Centred unit text vectors, zero where an item has no text, float32, shape (I, T).
        text_codes: Signs of the text vectors, of items with text.
        text_items: Item index of each code, int64.
        members: Items of each category, sparse, shape (categories, I).
        brand_order: Item indices by brand, int64, shape (I,).
        brand_starts: Where each brand begins in it, int64.
        item_vectors: Of the two-tower without biases, float32, shape (I, D).
        index: Over the item vectors with biases.
        viewed: Who looked at both, sparse (I, I); None where nobody browses.
        bought: Who bought both, sparse (I, I); None where nobody buys.
    """

    features: ItemFeatures
    text: np.ndarray
    text_codes: Any
    text_items: np.ndarray
    members: sp.csr_matrix
    brand_order: np.ndarray
    brand_starts: np.ndarray
    item_vectors: np.ndarray
    index: faiss.Index
    viewed: sp.csr_matrix | None
    bought: sp.csr_matrix | None

    @classmethod
    def of(cls, recommender: Recommender) -> "SimilarItems":
        """Prepare what a bundle holds."""
        features, vectors = recommender.features, recommender.towers.item_vectors
        text_items = np.flatnonzero(recommender.text.any(1))
        shape = (len(features), features.num_categories)
        ones = np.ones(len(features.category_idx), dtype=np.float32)
        told = sp.csr_matrix((ones, features.category_idx, features.category_indptr), shape=shape)
        counts = np.bincount(features.brand_idx, minlength=features.num_brands)
        return cls(
            features=features,
            text=recommender.text,
            text_codes=_sign_codes(recommender.text, text_items),
            text_items=text_items,
            members=sp.csr_matrix(told.T),
            brand_order=np.argsort(features.brand_idx, kind="stable"),
            brand_starts=np.concatenate([[0], np.cumsum(counts)]),
            # The last two columns are biases: they say what sells, not what an item is like.
            item_vectors=vectors[:, :-2],
            index=recommender.index,
            viewed=_table(recommender, BrowseSource, "browsed"),
            bought=_table(recommender, NeighbourSource, "item_to_item"),
        )

    def like(self, item: int, k: int, allowed: np.ndarray | None = None) -> Similar:
        """Return at most k items like an item, never itself.

        Args:
            item: Item index.
            k: How many items at most.
            allowed: Which items may be found, bool, shape (I,); None for all.
        """
        left_I = np.ones(len(self.features), dtype=bool) if allowed is None else allowed.copy()
        left_I[item] = False
        depth = min(2 * k + 50, len(left_I))
        votes_of: defaultdict[int, dict[str, float]] = defaultdict(dict)
        most = 0.0
        for name, ranked in self._rankings(item, depth, left_I):
            if len(ranked):
                most += WEIGHTS[name] / (_CONSTANT + 1)
            for place, found in enumerate(ranked.tolist(), start=1):
                votes_of[found][name] = WEIGHTS[name] / (_CONSTANT + place)
        score_of = {found: sum(votes.values()) for found, votes in votes_of.items()}
        best = sorted(votes_of, key=lambda found: (-score_of[found], found))[:k]
        return Similar(
            item_idx=np.array(best, dtype=np.int32),
            score=np.array([score_of[found] / most for found in best]),
            voices=[_loudest(votes_of[found]) for found in best],
        )

    def _rankings(
        self, item: int, depth: int, allowed: np.ndarray
    ) -> Iterator[tuple[str, np.ndarray]]:
        yield "text", self._by_text(item, depth, allowed)
        yield "attributes", self._by_attributes(item, depth, allowed)
        yield "viewed", _by_table(self.viewed, item, depth, allowed)
        yield "taste", self._by_taste(item, depth, allowed)
        yield "bought", _by_table(self.bought, item, depth, allowed)

    def _by_text(self, item: int, depth: int, allowed: np.ndarray) -> np.ndarray:
        """Rank by the cosine of texts, of those whose signs agree most.

        Signs of a centred vector keep its angles (source: Charikar 2002, "Similarity estimation
        techniques from rounding algorithms") in a 32nd of the memory that would have to be read.
        """
        own = self.text[item]
        if not own.any():
            return np.zeros(0, dtype=np.int64)
        wanted, num_codes = depth + 1, len(self.text_items)
        while True:
            _, rows = self.text_codes.search(_packed(own[None]), min(wanted, num_codes))
            near = self.text_items[rows[0]]
            near = near[allowed[near]]
            # Where many may not be found, more have to be looked at.
            if len(near) >= depth or wanted >= num_codes:
                break
            wanted *= 4
        cosine = self.text[near] @ own
        best = np.argsort(-cosine, kind="stable")[:depth]
        return near[best[cosine[best] > 0]]

    def _by_attributes(self, item: int, depth: int, allowed: np.ndarray) -> np.ndarray:
        """Rank by rare categories and the brand in common, log(I / n) each, and a like price."""
        features = self.features
        rows = slice(features.category_indptr[item], features.category_indptr[item + 1])
        categories = features.category_idx[rows]
        sizes = np.diff(self.members.indptr)[categories]
        categories = categories[sizes <= _MOST_MEMBERS]
        starts, ends = self.members.indptr[categories], self.members.indptr[categories + 1]
        found = [self.members.indices[concat_ranges(starts, ends)]]
        shared = [np.repeat(features.category_rarity[categories], ends - starts)]
        brand = int(features.brand_idx[item])
        kin = self.brand_order[self.brand_starts[brand] : self.brand_starts[brand + 1]]
        if brand and len(kin) <= _MOST_MEMBERS:
            found.append(kin)
            shared.append(np.full(len(kin), np.log(len(features) / len(kin)), dtype=np.float32))
        near, place = np.unique(np.concatenate(found), return_inverse=True)
        alike = np.bincount(place, np.concatenate(shared), minlength=len(near))
        alike, near = alike[allowed[near]], near[allowed[near]]
        prices = features.dense[near, _PRICE]
        known = (prices > 0) & (features.dense[item, _PRICE] > 0)
        gap = np.abs(prices - features.dense[item, _PRICE])
        # A price that is not known counts as one that is e times as high.
        score = alike - _PRICE_WEIGHT * np.where(known, 5.0 * gap, 1.0)
        return near[np.argsort(-score, kind="stable")[:depth]]

    def _by_taste(self, item: int, depth: int, allowed: np.ndarray) -> np.ndarray:
        """Rank by the cosine of item vectors, of those with the largest inner product."""
        own = self.item_vectors[item]
        asked = np.concatenate([own, [0.0, 0.0]]).astype(np.float32)[None]
        near = search(self.index, asked, depth, allowed)[1][0]
        near = near[near >= 0]
        vectors = self.item_vectors[near]
        cosine = vectors @ own / np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
        order = np.argsort(-cosine, kind="stable")
        return near[order[cosine[order] > 0]]


def _loudest(votes: Mapping[str, float]) -> list[str]:
    """Return the voices that count most, the largest vote first: down to a quarter of it."""
    largest = max(votes.values())
    named = [name for name, vote in votes.items() if vote >= largest / 4]
    return sorted(named, key=lambda name: -votes[name])


def _by_table(
    table: sp.csr_matrix | None, item: int, depth: int, allowed: np.ndarray
) -> np.ndarray:
    """Rank by one row of a table."""
    if table is None:
        return np.zeros(0, dtype=np.int64)
    row = slice(table.indptr[item], table.indptr[item + 1])
    near, strength = table.indices[row], np.asarray(table.data[row], dtype=np.float32)
    says = allowed[near] & (strength > 0)
    near, strength = near[says], strength[says]
    return near[np.argsort(-strength, kind="stable")[:depth]]


def _sign_codes(text: np.ndarray, rows: np.ndarray) -> Any:
    codes = _faiss.IndexBinaryFlat(8 * -(-text.shape[1] // 8))
    for start in range(0, len(rows), _CHUNK):
        codes.add(_packed(text[rows[start : start + _CHUNK]]))
    return codes


def _packed(vectors: np.ndarray) -> np.ndarray:
    """Return the signs of vectors, eight a byte."""
    return np.packbits(vectors > 0, axis=1)


def _table(
    recommender: Recommender, kind: type[BrowseSource | NeighbourSource], name: str
) -> sp.csr_matrix | None:
    for source in recommender.sources:
        if isinstance(source, kind) and source.name == name:
            return source.table
    return None
