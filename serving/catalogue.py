"""The catalogue in the form in which answers need it: plain values by index, items by attribute.

Shape suffixes: I items.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.interactions import IdMap


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What is shown of items, and what they can be filtered by.

    Attributes:
        item_ids: External ids in index order.
        index: Item index by external id.
        titles: Null where unknown.
        brands: Null where unknown.
        price_cents: Null where unknown.
        price_I: The same prices as float64, NaN where unknown, shape (I,).
        of_category: Item indices by category name.
        of_brand: Item indices by brand.
        sold_out_I: True where an item is known to be out of stock, bool, shape (I,).
        popularity_I: Share of items that are bought less often, in 0..1, float64, shape (I,).
    """

    item_ids: list[str]
    index: dict[str, int]
    titles: list[str | None]
    brands: list[str | None]
    price_cents: list[int | None]
    price_I: np.ndarray
    of_category: Mapping[str, np.ndarray]
    of_brand: Mapping[str, np.ndarray]
    sold_out_I: np.ndarray
    popularity_I: np.ndarray

    @classmethod
    def of(cls, items: IdMap, profiles: pl.DataFrame, in_stock: pl.DataFrame) -> "Catalogue":
        """Build from item profiles in index order and the stock of any of the items."""
        item_ids: list[str] = items.ids.tolist()
        sold_out = items.index(in_stock.filter(~pl.col("in_stock"))["item_id"])
        sold_out_I = np.zeros(len(item_ids), dtype=bool)
        sold_out_I[sold_out[sold_out >= 0]] = True
        prices = profiles["price_cents"]
        return cls(
            item_ids=item_ids,
            index=items.places,
            titles=profiles["title"].to_list(),
            brands=profiles["brand"].to_list(),
            price_cents=prices.to_list(),
            price_I=prices.cast(pl.Float64).fill_null(float("nan")).to_numpy(),
            of_category=_inverted(profiles["categories"]),
            of_brand=_inverted(profiles["brand"]),
            sold_out_I=sold_out_I,
            popularity_I=_places(profiles["num_purchases"].fill_null(0).to_numpy()),
        )

    def __len__(self) -> int:
        """Return the number of items I."""
        return len(self.item_ids)

    def only_of(self, categories: Iterable[str], allowed: np.ndarray | None) -> np.ndarray:
        """Return what is allowed and in one of the categories, bool, shape (I,)."""
        mask_I = np.zeros(len(self), dtype=bool)
        for category in categories:
            mask_I[self.of_category.get(category, [])] = True
        return mask_I if allowed is None else mask_I & allowed

    def name(self, idx: int) -> str:
        """Return the title of an item, or its id where it has none."""
        return self.titles[idx] or self.item_ids[idx]


def _places(num_I: np.ndarray) -> np.ndarray:
    """Return the share of items with less, 0 for the least and 1 for the most, shape (I,)."""
    levels, level_I, counts = np.unique(num_I, return_inverse=True, return_counts=True)
    if len(levels) == 1:
        return np.zeros(len(num_I))
    below = np.cumsum(counts) - counts
    return below[level_I] / below[-1]


def _inverted(names_I: pl.Series) -> dict[str, np.ndarray]:
    """Return the items that have each name, in index order, int64; an empty one is none."""
    pairs = pl.DataFrame({"name": names_I}).with_row_index("item")
    if names_I.dtype != pl.String:
        pairs = pairs.explode("name", empty_as_null=False, keep_nulls=False)
    pairs = pairs.filter(pl.col("name") != "").with_columns(pl.col("item").cast(pl.Int64))
    groups = pairs.group_by("name", maintain_order=True).agg("item")
    found = {}
    for name, group in zip(groups["name"], groups["item"], strict=True):
        items = group.to_numpy()
        # In index order, an item that has a name twice stands beside itself.
        found[name] = items[np.diff(items, prepend=-1) != 0]
    return found
