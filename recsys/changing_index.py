"""A FAISS index whose items come and go without a rebuild.

An item keeps its id for as long as it is there, whatever else is added or removed. Inside, each
vector has a slot that is never used again: an item that comes back gets a new one. Kinds that keep
ids themselves (IVF) are given the slots; the others are wrapped in `IndexIDMap2`.

Kinds that can remove do so. HNSW cannot: it keeps the vector, and every search passes it over by an
id selector. That costs memory and time until the index is built again, see `share_gone`. What an
index was trained on does not change: where new items are unlike the old ones, its cells and codes
fit them less well, and `check_recall` says so.

Shape suffixes: N items, Q queries, D vector width.
"""

import math
from typing import Any

import faiss
import numpy as np

from recsys.retrieval_index import (
    IndexConfig,
    ensure_recall,
    exact_best,
    search_parameters,
    share_found,
    trained_index,
)

# FAISS adds methods to its SWIG classes at run time, which no type checker sees.
_faiss: Any = faiss
NEAREST = 100


class ChangingIndex:
    """An inner-product index over items with ids of their own.

    Args:
        item_ids: Distinct ids that the index is built with, none below 0, int64, shape (N,).
        vectors: Theirs, float32, shape (N, D).
        config: How to build it; `min_recall` holds for what it is built with.

    Raises:
        ValueError: If the factory string is unknown, ids are not distinct, vectors are not numbers,
            or recall@100 is below `min_recall`.
    """

    def __init__(self, item_ids: np.ndarray, vectors: np.ndarray, config: IndexConfig) -> None:
        self._config = config
        self._width = vectors.shape[1]
        self._slot: dict[int, int] = {}
        self._item_of_slot = np.zeros(0, dtype=np.int64)
        item_ids, vectors = self._checked(item_ids, vectors)
        # Neither a wrapper nor a downcast view keeps alive what it shows.
        self._owner = trained_index(vectors, config)
        self._inner = _faiss.downcast_index(self._owner)
        keeps_ids = _keeps_ids(self._inner)
        self._index: Any = self._inner if keeps_ids else _faiss.IndexIDMap2(self._inner)
        self._removes = _can_remove(self._inner)
        self._append(item_ids, vectors)
        if len(item_ids):
            ensure_recall(self._index, vectors, config)

    def __len__(self) -> int:
        """Return the number of items that can be found."""
        return len(self._slot)

    def __contains__(self, item_id: int) -> bool:
        """Tell whether an item can be found."""
        return item_id in self._slot

    @property
    def share_gone(self) -> float:
        """Share of the vectors that every search passes over, in [0, 1]; 0 of kinds that remove."""
        return 1.0 - len(self) / self._index.ntotal if self._index.ntotal else 0.0

    def add(self, item_ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add items.

        Args:
            item_ids: Distinct, none below 0, none of them there, int64, shape (N,).
            vectors: Theirs, float32, shape (N, D).

        Raises:
            ValueError: If ids or vectors are not as they should be, or this kind of index takes
                nothing in once it is built; nothing was added then.
        """
        self._append(*self._checked(item_ids, vectors))

    def remove(self, item_ids: np.ndarray) -> None:
        """Remove items.

        Raises:
            ValueError: If an item is not there, or named twice, or this kind of index can neither
                forget a vector nor pass it over; nothing was removed then.
        """
        if not self._removes and not isinstance(self._inner, _faiss.IndexHNSW):
            raise ValueError(
                f"index {self._config.factory!r} can neither forget a vector nor pass it over: "
                "take Flat, IVF, PQ or HNSW"
            )
        wanted = np.asarray(item_ids, dtype=np.int64).tolist()
        unknown = [item for item in wanted if item not in self._slot]
        if unknown:
            raise ValueError(f"{len(unknown)} items are not in the index, such as {unknown[0]}")
        if len(set(wanted)) < len(wanted):
            raise ValueError("an item is named twice among those to be removed")
        slots = np.array([self._slot.pop(item) for item in wanted], dtype=np.int64)
        self._item_of_slot[slots] = -1
        if self._removes:
            self._index.remove_ids(slots)

    def search(self, vectors: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best inner products and their item ids, best first, each (Q, depth).

        Fewer items than `depth`, or fewer found, are padded with id -1.
        """
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if self._removes or not self.share_gone:
            values, slots = self._index.search(vectors, depth)
        else:
            is_there = np.packbits(self._item_of_slot >= 0, bitorder="little")
            parameters = search_parameters(self._inner, _faiss.IDSelectorBitmap(is_there), 1)
            # Vectors that are gone lie on the way as well.
            wider = self._index.ntotal / max(1, len(self))
            parameters.efSearch = math.ceil(parameters.efSearch * wider)
            values, slots = self._index.search(vectors, depth, params=parameters)
        # The last one is for slot -1, which is padding.
        return values, np.append(self._item_of_slot, -1)[slots]

    def check_recall(self, item_ids: np.ndarray, vectors: np.ndarray, least: float) -> float:
        """Return recall@100 against exact search over the items that are there.

        Args:
            item_ids: All of them, in any order, int64, shape (N,).
            vectors: Theirs, float32, shape (N, D).
            least: That it must not be below, in [0, 1].

        Raises:
            ValueError: If it is, or these are not the items that are there.
        """
        if {*np.asarray(item_ids).tolist()} != self._slot.keys():
            raise ValueError("recall is measured over all items that are in the index, no others")
        if not len(self):
            return 1.0
        queries, best = exact_best(np.ascontiguousarray(vectors, dtype=np.float32))
        _, found = self.search(queries, best.shape[1])
        recall = share_found(found, np.asarray(item_ids)[best])
        if recall < least:
            raise ValueError(
                f"index {self._config.factory!r} finds {recall:.3f} of the exact top {NEAREST}, "
                f"wanted {least}: build it anew, choose another factory string or lower min_recall"
            )
        return recall

    def _checked(self, item_ids: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        item_ids = np.asarray(item_ids, dtype=np.int64)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.shape != (len(item_ids), self._width):
            raise ValueError(
                f"{len(item_ids)} items want vectors of shape ({len(item_ids)}, {self._width}), "
                f"not {vectors.shape}"
            )
        if not np.isfinite(vectors).all():
            raise ValueError("vectors must be numbers: some are nan or infinite")
        if (item_ids < 0).any():
            raise ValueError(f"item ids must not be below 0, as {item_ids.min()} is")
        if len(np.unique(item_ids)) < len(item_ids):
            raise ValueError("an item is named twice among those to be added")
        there = [item for item in item_ids.tolist() if item in self._slot]
        if there:
            raise ValueError(
                f"{len(there)} items are in the index already, such as {there[0]}: remove them "
                "first to give them other vectors"
            )
        return item_ids, vectors

    def _append(self, item_ids: np.ndarray, vectors: np.ndarray) -> None:
        if not len(item_ids):
            return
        slots = len(self._item_of_slot) + np.arange(len(item_ids), dtype=np.int64)
        try:
            self._index.add_with_ids(vectors, slots)
        except RuntimeError as error:
            raise ValueError(
                f"index {self._config.factory!r} takes nothing in once it is built: {error}"
            ) from error
        self._item_of_slot = np.concatenate([self._item_of_slot, item_ids])
        self._slot.update(zip(item_ids.tolist(), slots.tolist(), strict=True))


def _keeps_ids(index: Any) -> bool:
    """Tell whether an index stores ids beside vectors, by asking it to add none."""
    try:
        index.add_with_ids(np.zeros((0, index.d), dtype=np.float32), np.zeros(0, dtype=np.int64))
    except RuntimeError:
        return False
    return True


def _can_remove(index: Any) -> bool:
    """Tell whether an index can forget vectors, by asking it to forget none."""
    try:
        index.remove_ids(np.zeros(0, dtype=np.int64))
    except RuntimeError:
        return False
    return True
