"""Items that come and go between trainings: what a bundle holds, with some added or retired.

An item that comes has no purchases to speak for it. The item tower places it by its category,
brand, price, text and what reviews say; the text source by its text; it is popular as far as it
was bought since. Neighbour tables have no row of it until the next training, and its row in the
table of item embeddings is zero, where training starts from about zero too. Categories and brands
that the model has not seen get places of their own, with zero embeddings, so that caps, rules and
shared categories work.

What was there keeps its place, its vectors and its features, so all else is ranked as before. An
item that goes is retired: it is never offered, and still says what its buyers like.

Shape suffixes: I items, N added items, C categories, T text width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from features.text_vectors import centred_text
from recsys.errors import BundleError
from recsys.grown_sources import grown_index, grown_source
from recsys.interactions import IdMap
from recsys.item_features import ItemFeatures
from recsys.item_tower import item_vectors
from recsys.query_tower import QueryTowerWeights
from recsys.recommender import Recommender
from recsys.retrieval import TrainedTowers
from recsys.retrieval_index import ensure_recall


@dataclass(frozen=True, kw_only=True)
class NewItems:
    """Items that a bundle lacks.

    Attributes:
        profiles: Of `features.profiles.item_profiles`, one row an item.
        text: Unit text vectors, not centred, zero where there is no text, float32, shape (N, T).
        recent: `recsys.recency.recent_popularity` of each, float32, shape (N,).
    """

    profiles: pl.DataFrame
    text: np.ndarray
    recent: np.ndarray


def with_new_items(recommender: Recommender, new: NewItems) -> Recommender:
    """Return a recommender that knows more items.

    Args:
        recommender: Of a bundle.
        new: Items it lacks, at least one.

    Raises:
        BundleError: If the bundle holds no item tower, profiles have other columns than its own, an
            item is there already, texts are of another width, or the index takes nothing in.
        ValueError: If the index with the items in it finds too little.
    """
    tower, centre = recommender.towers.item, recommender.text_centre
    retired = recommender.retired
    if tower is None or centre is None:
        raise BundleError("the bundle holds no item tower to place items by: train again")
    known = recommender.item_profiles
    if new.profiles.schema != known.schema:
        raise BundleError("profiles of new items have other columns than the bundle: train again")
    there = recommender.items.index(new.profiles["item_id"])
    if (there >= 0).any():
        raise BundleError(f"{new.profiles['item_id'][int(there.argmax())]!r} is in the bundle")
    if new.text.shape[1] != len(centre):
        raise BundleError(
            f"texts of the new items are {new.text.shape[1]} wide, those of the bundle "
            f"{len(centre)}: they are of another model"
        )
    profiles = pl.concat([known, new.profiles])
    features = _features(recommender, new.profiles)
    text = centred_text(new.text, centre)
    shared = _query_tower(recommender.towers.query, features, text @ tower.text_weight.T)
    added = np.arange(len(known), len(profiles))
    vectors = item_vectors(added, features, new.recent, tower, shared)
    towers = TrainedTowers(
        query=shared,
        item_vectors=np.concatenate([recommender.towers.item_vectors, vectors]),
        losses=recommender.towers.losses,
        recalls=recommender.towers.recalls,
        item=tower,
    )
    index = grown_index(recommender.index, vectors)
    ensure_recall(index, towers.item_vectors, recommender.config.index)
    texts = np.concatenate([recommender.text, text])
    grown = replace(
        recommender,
        items=IdMap(ids=profiles["item_id"].to_numpy()),
        item_profiles=profiles,
        features=features,
        text=texts,
        towers=towers,
        index=index,
        retired=None if retired is None else np.pad(retired, (0, len(added))),
    )
    sources = [grown_source(source, grown, new.recent, text) for source in recommender.sources]
    return replace(grown, sources=sources)


def without_items(recommender: Recommender, item_ids: Sequence[str]) -> Recommender:
    """Return a recommender that offers some items no more.

    Raises:
        BundleError: If the catalogue lacks one of them, or nothing would be left to offer.
    """
    places = recommender.items.index(list(item_ids))
    unknown = [item for item, place in zip(item_ids, places, strict=True) if place < 0]
    if unknown:
        raise BundleError(f"{len(unknown)} items are not in the bundle, such as {unknown[0]!r}")
    if recommender.retired is None:
        retired = np.zeros(len(recommender.items), dtype=bool)
    else:
        retired = np.array(recommender.retired)
    retired[places] = True
    if retired.all():
        raise BundleError("no item would be left to offer")
    return replace(recommender, retired=retired)


def _features(recommender: Recommender, new: pl.DataFrame) -> ItemFeatures:
    """Return features of all items; what was there keeps its own, rarities among them."""
    old, known = recommender.features, recommender.item_profiles
    names = known["categories"].fill_null([]).explode(keep_nulls=False, empty_as_null=False)
    categories = dict(zip(names.to_list(), old.category_idx.tolist(), strict=True))
    brands = dict(zip(known["brand"].fill_null(""), old.brand_idx.tolist(), strict=True)) | {"": 0}
    lists = new["categories"].fill_null([]).to_list()
    category_idx = _places([name for of_item in lists for name in of_item], categories)
    brand_idx = _places(new["brand"].fill_null("").to_list(), brands)
    num_categories = max(old.num_categories, 1 + max(category_idx, default=-1))
    num_new = num_categories - old.num_categories
    counts = np.bincount(np.array(category_idx, dtype=np.int64), minlength=num_categories)
    rarest = np.log((len(old) + len(new)) / np.maximum(counts[old.num_categories :], 1))
    ends = old.category_indptr[-1] + np.cumsum([len(of_item) for of_item in lists])
    ids = IdMap(ids=new["item_id"].to_numpy())
    none = np.zeros((len(new), 0), dtype=np.float32)
    return ItemFeatures(
        dense=np.concatenate([old.dense, ItemFeatures.from_profiles(new, none, ids).dense]),
        text=np.zeros((len(old) + len(new), 0), dtype=np.float32),
        category_indptr=np.concatenate([old.category_indptr, ends]).astype(np.int64),
        category_idx=np.concatenate([old.category_idx, category_idx]).astype(np.int32),
        num_categories=num_categories,
        brand_idx=np.concatenate([old.brand_idx, brand_idx]).astype(np.int32),
        num_brands=max(old.num_brands, 1 + max(brand_idx)),
        rarity=np.concatenate([old.category_rarity, rarest[:num_new]]).astype(np.float32),
    )


def _places(names: list[str], known: dict[str, int]) -> list[int]:
    """Return the place of each name, in order; names that are not known get the next ones."""
    free = 1 + max(known.values(), default=-1)
    for name in names:
        if name not in known:
            known[name], free = free, free + 1
    return [known[name] for name in names]


def _query_tower(
    weights: QueryTowerWeights, features: ItemFeatures, new_text: np.ndarray
) -> QueryTowerWeights:
    """Return the tables of the query tower with rows for all items, categories and brands."""
    none = np.zeros((len(new_text), weights.item_table.shape[1]), dtype=np.float32)
    return replace(
        weights,
        item_table=np.concatenate([weights.item_table, none]),
        text_table=np.concatenate([weights.text_table, new_text]).astype(np.float32),
        category_table=_with_rows(weights.category_table, features.num_categories),
        brand_table=_with_rows(weights.brand_table, features.num_brands),
    )


def _with_rows(table: np.ndarray, num: int) -> np.ndarray:
    return np.pad(table, ((0, num - len(table)), (0, 0)))
