"""What people who bought an item bought as well, and how strongly that is known.

Shape suffixes: I items, N purchases, K items found.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recsys.interactions import Interactions
from recsys.recommender import Recommender
from recsys.sources import NeighbourSource

# What one person alone bought together is chance, and theirs to know.
LEAST_BUYERS = 2
_COUNTED = 100
_TABLES = ("item_to_item", "next_item")


@dataclass(frozen=True, kw_only=True)
class Together:
    """Items bought by the buyers of one item, the strongest first.

    Attributes:
        item_idx: int32, shape (K,).
        strength: Mean of the tables that a bundle has, each in 0..1: cosine of who bought both,
            and how closely one followed the other, shrunk; float64, shape (K,).
        num_buyers: People who bought both, int64, shape (K,).
        share: Of the buyers of the one item, those who bought this, in 0..1, float64, shape (K,).
        lift: The share over that among everybody who bought anything, above 1, float64, shape (K,).
    """

    item_idx: np.ndarray
    strength: np.ndarray
    num_buyers: np.ndarray
    share: np.ndarray
    lift: np.ndarray


@dataclass(frozen=True, kw_only=True)
class BoughtTogether:
    """What is needed to find them.

    Attributes:
        tables: Of a bundle, sparse (I, I) each.
        buyer_order: User indices of purchases by item, int32, shape (N,).
        starts: Where the buyers of each item begin, int64, shape (I + 1,).
        num_users: Size of the user index.
        num_buyers: Users who bought anything.
    """

    tables: list[sp.csr_matrix]
    buyer_order: np.ndarray
    starts: np.ndarray
    num_users: int
    num_buyers: int

    @classmethod
    def of(cls, recommender: Recommender, bought: Interactions) -> "BoughtTogether":
        """Prepare from a bundle and all purchases, one row a user and item."""
        tables = {
            source.name: source.table
            for source in recommender.sources
            if isinstance(source, NeighbourSource)
        }
        order = np.argsort(bought.item_idx, kind="stable")
        return cls(
            tables=[tables[name] for name in _TABLES if name in tables],
            buyer_order=bought.user_idx[order],
            starts=np.concatenate([[0], np.cumsum(bought.popularity())]),
            num_users=bought.num_users,
            num_buyers=len(np.unique(bought.user_idx)),
        )

    def with_item(self, item: int, k: int, allowed: np.ndarray | None = None) -> Together:
        """Return at most k items that go with an item.

        Only those that `LEAST_BUYERS` people bought with it, and that its buyers buy more often
        than others do: where that is not known, nothing is returned.

        Args:
            item: Item index.
            k: How many items at most.
            allowed: Which items may be found, bool, shape (I,); None for all.
        """
        found, strength = self._neighbours(item)
        if allowed is not None:
            found, strength = found[allowed[found]], strength[allowed[found]]
        # The strongest are counted alone: of what many bought that takes time.
        strongest = np.argsort(-strength, kind="stable")[: 2 * k + _COUNTED]
        found, strength = found[strongest], strength[strongest]
        own = self._buyers(item)
        is_buyer = np.zeros(self.num_users, dtype=bool)
        is_buyer[own] = True
        num_buyers = np.array(
            [is_buyer[self._buyers(other)].sum() for other in found.tolist()], dtype=np.int64
        )
        share = num_buyers / max(1, len(own))
        others = (self.starts[found + 1] - self.starts[found]) / max(1, self.num_buyers)
        lift = share / np.maximum(others, 1e-12)
        best = np.flatnonzero((num_buyers >= LEAST_BUYERS) & (lift > 1.0))[:k]
        return Together(
            item_idx=found[best].astype(np.int32),
            strength=strength[best],
            num_buyers=num_buyers[best],
            share=share[best],
            lift=lift[best],
        )

    def _neighbours(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        """Return items of the item's row in any table, ascending, and their mean strength."""
        rows = [slice(table.indptr[item], table.indptr[item + 1]) for table in self.tables]
        parts = list(zip(self.tables, rows, strict=True))
        if not parts:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        items = np.concatenate([table.indices[row] for table, row in parts])
        values = np.concatenate([table.data[row] for table, row in parts])
        found, place = np.unique(items[items != item], return_inverse=True)
        sums = np.bincount(place, values[items != item], minlength=len(found))
        return found.astype(np.int64), sums / len(parts)

    def _buyers(self, item: int) -> np.ndarray:
        return self.buyer_order[self.starts[item] : self.starts[item + 1]]
