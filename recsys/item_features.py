"""What is known of every item besides who took it, in the dense order of the item index.

Shape suffixes: I items, F dense features, D text width.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.opinion import polarity_of_stars
from recsys.interactions import IdMap

# Item profile columns that enter the towers and the ranker, with the transform applied to each.
DENSE_COLUMNS: dict[str, str] = {
    "num_purchases": "log",
    "num_purchases_90d": "log",
    "num_views": "log",
    "num_reviews": "log",
    "stars_smoothed": "stars",
    "polarity_smoothed": "identity",
    "negative_share": "identity",
    "return_rate": "identity",
    "price_cents": "log",
    "age_days": "log",
}


@dataclass(frozen=True, kw_only=True)
class ItemFeatures:
    """Arrays over the item index.

    Attributes:
        dense: Transformed profile columns in the order of `DENSE_COLUMNS`, 0 where unknown,
            float32, shape (I, F).
        text: Unit text vectors, zero where an item has no text, float32, shape (I, D); without
            columns where they were read from a bundle, which nobody learns from.
        category_indptr: Categories of item i are category_idx[indptr[i]:indptr[i + 1]].
        category_idx: int32.
        num_categories: Size of the category vocabulary, at least 1.
        brand_idx: 0 is "no brand", int32, shape (I,).
        num_brands: Size of the brand vocabulary, at least 1.
        rarity: Rarity of categories as it was when the rest was learned, float32, shape
            (num_categories,); None where it is that of these items.
    """

    dense: np.ndarray
    text: np.ndarray
    category_indptr: np.ndarray
    category_idx: np.ndarray
    num_categories: int
    brand_idx: np.ndarray
    num_brands: int
    rarity: np.ndarray | None = None

    @classmethod
    def from_profiles(
        cls, profiles: pl.DataFrame, text: np.ndarray, items: IdMap
    ) -> "ItemFeatures":
        """Build from item profiles (any order, missing items allowed) and aligned text vectors."""
        frame = pl.DataFrame({"item_id": pl.Series(items.ids.tolist(), dtype=pl.String)}).join(
            profiles, on="item_id", how="left", maintain_order="left"
        )
        dense = np.stack(
            [_transform(frame[column], kind) for column, kind in DENSE_COLUMNS.items()], axis=1
        )
        lists = frame["categories"].fill_null([])
        names = lists.explode(keep_nulls=False, empty_as_null=False)
        vocabulary = IdMap.of(names.to_list())
        brands = frame["brand"].fill_null("")
        brand_vocabulary = IdMap.of(["", *brands.to_list()])
        return cls(
            dense=dense.astype(np.float32),
            text=np.ascontiguousarray(text, dtype=np.float32),
            category_indptr=np.concatenate([[0], lists.list.len().to_numpy().cumsum()]).astype(
                np.int64
            ),
            category_idx=vocabulary.index(names).astype(np.int32),
            num_categories=max(1, len(vocabulary)),
            brand_idx=brand_vocabulary.index(brands).astype(np.int32),
            num_brands=len(brand_vocabulary),
        )

    def __len__(self) -> int:
        """Return the number of items I."""
        return len(self.dense)

    @cached_property
    def category_rarity(self) -> np.ndarray:
        """Log of I over the items in each category, float32, shape (num_categories,)."""
        if self.rarity is not None:
            return self.rarity
        counts = np.bincount(self.category_idx, minlength=self.num_categories)
        return np.log(len(self) / np.maximum(counts, 1)).astype(np.float32)


def _transform(column: pl.Series, kind: str) -> np.ndarray:
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if kind == "log":
        return np.nan_to_num(np.log1p(np.maximum(values, 0.0)) / 5.0)
    if kind == "stars":
        return np.nan_to_num(polarity_of_stars(values))
    return np.nan_to_num(values)
