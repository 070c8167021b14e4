"""Candidate sources and indices of a bundle with the rows of new items in them."""

from dataclasses import replace
from typing import Any

import faiss
import numpy as np
import scipy.sparse as sp

from recsys.errors import BundleError
from recsys.item_features import ItemFeatures
from recsys.recommender import Recommender
from recsys.sources import (
    BrowseSource,
    CandidateSource,
    CategorySource,
    NeighbourSource,
    PopularSource,
    TextSource,
    TwoTowerSource,
)

# FAISS adds methods to its SWIG classes at run time, which no type checker sees.
_faiss: Any = faiss


def grown_index(index: faiss.Index, vectors: np.ndarray) -> faiss.Index:
    """Return a copy of an index with more vectors in it, under the next ids."""
    grown = _faiss.clone_index(index)
    try:
        grown.add(np.ascontiguousarray(vectors, dtype=np.float32))
    except RuntimeError as error:
        raise BundleError(f"the index takes nothing in once it is built: {error}") from error
    return grown


def grown_source(
    source: CandidateSource, grown: Recommender, recent: np.ndarray, text: np.ndarray
) -> CandidateSource:
    """Return a source that knows all items of the grown recommender.

    Raises:
        BundleError: If it is of a kind that cannot.
    """
    num, num_categories = len(grown.items), grown.features.num_categories
    match source:
        case TwoTowerSource():
            tower = replace(source.tower, weights=grown.towers.query, features=grown.features)
            vectors = grown.towers.item_vectors
            return replace(source, tower=tower, item_vectors=vectors, index=grown.index)
        case NeighbourSource() | BrowseSource():
            return replace(source, table=_table(source.table, (num, num)))
        case CategorySource():
            return replace(
                source,
                categories=_of_categories(source.categories, grown.features),
                popular=_table(source.popular, (num_categories, num)),
            )
        case PopularSource():
            return replace(source, popularity=np.concatenate([source.popularity, recent]))
        case TextSource():
            index = None if source.index is None else grown_index(source.index, text)
            return replace(source, vectors=grown.text, index=index)
    raise BundleError(f"items cannot be added to a source of kind {type(source).__name__}")


def _table(table: sp.csr_matrix, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return the same entries in a larger table."""
    num_rows = len(table.indptr) - 1
    indptr = np.pad(table.indptr, (0, shape[0] - num_rows), mode="edge")
    return sp.csr_matrix((table.data, table.indices, indptr), shape=shape)


def _of_categories(told: sp.csr_matrix, features: ItemFeatures) -> sp.csr_matrix:
    """Add rows of the new items: their weight of one is shared by rarity, as at a fit."""
    num_old = len(told.indptr) - 1
    grown = _table(told, (num_old, features.num_categories))
    starts, end = features.category_indptr[num_old:], features.category_indptr[-1]
    categories = features.category_idx[starts[0] : end]
    rarity = np.maximum(features.category_rarity[categories], 1e-6)
    shape = (len(starts) - 1, features.num_categories)
    new = sp.csr_matrix((rarity, categories, starts - starts[0]), shape=shape)
    sums = np.maximum(np.asarray(new.sum(1)).ravel(), 1e-9)
    new.data = (new.data / np.repeat(sums, np.diff(new.indptr))).astype(np.float32)
    return sp.csr_matrix(sp.vstack([grown, new], format="csr"))
