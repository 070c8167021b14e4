"""What is known of each item beside what recommendations need: how it sells and how it pleases.

Shape suffixes: I items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys.interactions import IdMap
from serving.side_tables import ITEM_PROFILES, SideTables, with_columns_of

_IN_STOCK = {1: True, 0: False, -1: None}


@dataclass(frozen=True, kw_only=True)
class RowsByItem:
    """Rows of a table by item, in the table's order.

    Attributes:
        frame: Sorted by item.
        starts: Rows of item i are starts[i]:starts[i + 1], int64, shape (I + 1,).
    """

    frame: pl.DataFrame
    starts: np.ndarray

    @classmethod
    def of(cls, table: pl.DataFrame, items: IdMap) -> "RowsByItem":
        """Sort a table that has an `item_id`; rows of unknown items are left out."""
        known = table.with_columns(_idx=pl.Series(items.index(table["item_id"])))
        known = known.filter(pl.col("_idx") >= 0).sort("_idx", maintain_order=True)
        counts = np.bincount(known["_idx"].to_numpy(), minlength=len(items))
        return cls(
            frame=known.drop("_idx", "item_id"), starts=np.concatenate([[0], np.cumsum(counts)])
        )

    def of_item(self, item: int) -> list[dict[str, Any]]:
        """Return the rows of an item."""
        start, end = self.starts[item : item + 2].tolist()
        return self.frame.slice(start, end - start).to_dicts()


@dataclass(frozen=True, kw_only=True)
class ItemFacts:
    """What is known of each item.

    Attributes:
        profiles: Columns of `ITEM_PROFILES` but for the id, one row an item in index order: those
            of the side table, of the bundle where there is none.
        satisfaction: Columns of `ITEM_SATISFACTION` but for the id.
        categories: From the widest to the narrowest, in index order.
        in_stock_I: 1 for yes, 0 for no, -1 for unknown, int8, shape (I,).
        aspects: What is said of aspects.
        needs: Needs voiced, the latest first.
        complaints: Sentences of reviews, the worst first.
    """

    profiles: pl.DataFrame
    satisfaction: RowsByItem
    categories: pl.Series
    in_stock_I: np.ndarray
    aspects: RowsByItem
    needs: RowsByItem
    complaints: RowsByItem

    @classmethod
    def of(cls, items: IdMap, bundled: pl.DataFrame, tables: SideTables) -> "ItemFacts":
        """Join the profiles of a bundle, in index order, with side tables."""
        profiles = tables.item_profiles if len(tables.item_profiles) else bundled
        known = with_columns_of(profiles.lazy(), ITEM_PROFILES)
        in_order = bundled.lazy().select("item_id")
        stock = tables.in_stock.drop_nulls("in_stock")
        places = items.index(stock["item_id"])
        in_stock_I = np.full(len(items), -1, dtype=np.int8)
        in_stock_I[places[places >= 0]] = stock["in_stock"].to_numpy()[places >= 0]
        return cls(
            profiles=in_order.join(known, on="item_id", how="left", maintain_order="left")
            .drop("item_id")
            .collect(),
            satisfaction=RowsByItem.of(tables.item_satisfaction, items),
            categories=bundled["categories"],
            in_stock_I=in_stock_I,
            aspects=RowsByItem.of(tables.item_aspects, items),
            needs=RowsByItem.of(tables.item_needs, items),
            complaints=RowsByItem.of(tables.complaints, items),
        )

    def profile(self, item: int) -> Mapping[str, Any]:
        """Return the profile of an item; what is unknown is null."""
        return self.profiles.row(item, named=True)

    def in_stock(self, item: int) -> bool | None:
        """Tell whether an item is in stock, None where nobody says."""
        return _IN_STOCK[int(self.in_stock_I[item])]
