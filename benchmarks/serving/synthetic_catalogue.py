"""A catalogue of any size in kinds of a few hundred items: profiles, text and item vectors.

Items of one kind share categories, are written about alike and lie near each other, as those of a
trained shop do; what is random is only where within its kind an item lies.

Shape suffixes: I items, G kinds, N neighbours, D vector width, T text width.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
import scipy.sparse as sp

from recsys.interactions import IdMap
from recsys.item_features import ItemFeatures
from sentiment.schema import EMBEDDING_DIM

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
KIND_SIZE = 200
_CHUNK = 50_000


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Items and what is known of them.

    Attributes:
        items: Ids.
        profiles: One row an item, with the columns that a bundle's reader needs.
        features: Item features.
        text: Unit text vectors, float32, shape (I, T).
    """

    items: IdMap
    profiles: pl.DataFrame
    features: ItemFeatures
    text: np.ndarray

    @property
    def num_kinds(self) -> int:
        """Return the number of kinds G."""
        return -(-len(self.items) // KIND_SIZE)


def synthetic_catalogue(num_items: int, rng: np.random.Generator) -> Catalogue:
    """Draw a catalogue; item i is of kind i // KIND_SIZE."""
    items = IdMap(ids=np.array([f"i{i:07}" for i in range(num_items)], dtype=object))
    kinds = np.arange(num_items) // KIND_SIZE
    profiles = _profiles(items, kinds, rng)
    text = near_kinds(kinds, EMBEDDING_DIM, 1.0, rng)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    return Catalogue(
        items=items,
        profiles=profiles,
        features=ItemFeatures.from_profiles(profiles, text, items),
        text=text,
    )


def near_kinds(kinds: np.ndarray, dim: int, apart: float, rng: np.random.Generator) -> np.ndarray:
    """Return normal vectors around one centre a kind, float32, shape (I, D).

    Args:
        kinds: Of each item, shape (I,).
        dim: D.
        apart: Deviation of items from their kind's centre; centres deviate from zero by one.
        rng: Where luck comes from.
    """
    centres = rng.standard_normal((int(kinds.max()) + 1, dim), dtype=np.float32)
    vectors = np.empty((len(kinds), dim), dtype=np.float32)
    for start in range(0, len(kinds), _CHUNK):
        part = slice(start, start + _CHUNK)
        noise = rng.standard_normal((len(kinds[part]), dim), dtype=np.float32)
        vectors[part] = centres[kinds[part]] + np.float32(apart) * noise
    return vectors


def neighbour_table(num_items: int, num_neighbours: int, rng: np.random.Generator) -> sp.csr_matrix:
    """Return a table of neighbours within each item's kind, sorted indices, shape (I, I)."""
    starts_I = np.arange(num_items) // KIND_SIZE * KIND_SIZE
    sizes_I = np.minimum(KIND_SIZE, num_items - starts_I)
    steps_N = 1 + rng.choice(min(KIND_SIZE, num_items) - 1, num_neighbours, replace=False)
    indices = np.empty((num_items, num_neighbours), dtype=np.int32)
    for start in range(0, num_items, _CHUNK):
        part = slice(start, start + _CHUNK)
        place = np.arange(num_items)[part, None] - starts_I[part, None] + steps_N
        indices[part] = np.sort(starts_I[part, None] + place % sizes_I[part, None], axis=1)
    strengths = rng.random(indices.size, dtype=np.float32) ** 2
    indptr = np.arange(num_items + 1, dtype=np.int64) * num_neighbours
    table = sp.csr_matrix((strengths, indices.ravel(), indptr), shape=(num_items, num_items))
    table.sum_duplicates()
    return table


def _profiles(items: IdMap, kinds: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    num = len(items)
    purchases = np.floor(rng.pareto(1.2, num) * 3).astype(np.int64)
    reviews = rng.binomial(np.minimum(purchases, 10_000), 0.3)
    polarity = np.clip(rng.normal(0.3, 0.3, num), -1, 1)
    frame = pl.DataFrame(
        {
            "item_id": items.ids.tolist(),
            "kind": kinds,
            "brand_number": rng.integers(0, max(2, num // 50), num),
            "price_cents": np.exp(rng.normal(7.5, 0.8, num)).astype(np.int64),
            "num_purchases": purchases,
            "num_purchases_90d": rng.binomial(np.minimum(purchases, 10_000), 0.2),
            "num_views": purchases * 8 + rng.integers(0, 20, num),
            "num_reviews": reviews,
            "stars_smoothed": 3.0 + 2.0 * polarity,
            "polarity_smoothed": polarity,
            "negative_share": np.clip(0.4 - polarity, 0, 1),
            "return_rate": rng.random(num) * 0.1,
            "age_days": rng.random(num) * 1500 + 40,
            "polarity_drift": rng.normal(0, 1, num),
        }
    )
    return frame.with_columns(
        as_of=pl.lit(AS_OF),
        title=pl.format("Item number {} of kind {}", pl.int_range(pl.len()), "kind"),
        brand=pl.format("Brand {}", "brand_number"),
        categories=pl.concat_list(
            pl.format("Department {}", pl.col("kind") % 20),
            pl.format("Aisle {}", pl.col("kind") // 5),
            pl.format("Shelf {}", "kind"),
        ),
    ).drop("kind", "brand_number")
