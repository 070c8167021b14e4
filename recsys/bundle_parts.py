"""A recommender as files in a folder, and back.

query_tower.safetensors       two-tower query weights
item_tower.safetensors        two-tower item weights, by which items are added
index.faiss                   item vectors for search
text_index.faiss              text vectors for search, where there are many
ranker.txt, ranker.json       LightGBM model, its blend and feature names
sources.json                  kinds and weights of candidate sources, in their order
items.arrow                   item profiles in index order
arrays/*.npy                  item features and source tables, row-major, memory-mapped
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from recsys.candidates import CandidateConfig
from recsys.history_weights import HistoryWeights
from recsys.interactions import IdMap
from recsys.item_features import ItemFeatures
from recsys.item_tower import ItemTowerWeights
from recsys.lightgbm_alone import lgb
from recsys.query_tower import QueryTower, QueryTowerWeights
from recsys.ranker import Ranker
from recsys.ranker_config import RankerConfig
from recsys.recommender import Recommender
from recsys.retrieval import RecommenderConfig, TrainedTowers
from recsys.retrieval_index import IndexConfig, load_index, save_index
from recsys.sources import (
    BrowseSource,
    CandidateSource,
    CategorySource,
    NeighbourSource,
    PopularSource,
    TextSource,
    TwoTowerSource,
)
from recsys.two_tower_config import TrainingConfig, TwoTowerConfig

_TEXT_INDEX = "text_index.faiss"
_ITEM_TOWER = "item_tower.safetensors"
# Arrays of the query tower with a row an item: mapped, as all that is large.
_ITEM_TABLES = ("item_table", "text_table")
_CONFIG_PARTS = {
    "history": HistoryWeights,
    "candidates": CandidateConfig,
    "towers": TwoTowerConfig,
    "training": TrainingConfig,
    "ranker": RankerConfig,
    "index": IndexConfig,
}


def write_parts(folder: Path, r: Recommender) -> None:
    """Write a recommender into a folder that is there and empty."""
    tower = r.towers.query.arrays()
    tables = {f"query.{name}": tower.pop(name) for name in _ITEM_TABLES}
    save_file(
        {name: np.ascontiguousarray(array) for name, array in tower.items()},
        folder / "query_tower.safetensors",
    )
    if r.towers.item is not None:
        item_tower = {name: np.ascontiguousarray(a) for name, a in r.towers.item.arrays().items()}
        save_file(item_tower, folder / _ITEM_TOWER)
    save_index(r.index, folder / "index.faiss")
    r.ranker.booster.save_model(folder / "ranker.txt")
    ranker = {
        "base": r.ranker.base,
        "blend": r.ranker.blend,
        "validation": r.ranker.validation,
        "feature_names": r.ranker.feature_names,
    }
    (folder / "ranker.json").write_text(json.dumps(ranker, indent=2) + "\n")
    r.item_profiles.write_ipc(folder / "items.arrow", compression="uncompressed")
    arrays: dict[str, np.ndarray] = {
        "item_vectors": r.towers.item_vectors,
        "losses": np.array(r.towers.losses),
        "recalls": np.array(r.towers.recalls),
        "text": r.text,
        "item_dense": r.features.dense,
        **tables,
        "category_indptr": r.features.category_indptr,
        "category_idx": r.features.category_idx,
        "brand_idx": r.features.brand_idx,
        "vocabulary_sizes": np.array([r.features.num_categories, r.features.num_brands]),
    }
    beside = {
        "text_centre": r.text_centre,
        "retired": r.retired,
        "category_rarity": r.features.rarity,
    }
    arrays |= {name: array for name, array in beside.items() if array is not None}
    order = []
    for source in r.sources:
        entry: dict[str, Any] = {"name": source.name, "kind": type(source).__name__}
        if isinstance(source, NeighbourSource | CategorySource | TextSource):
            entry["weights"] = dataclasses.asdict(source.weights)
        order.append(entry)
        if isinstance(source, NeighbourSource | BrowseSource):
            arrays |= _table_arrays(source.name, source.table)
        elif isinstance(source, CategorySource):
            arrays |= _table_arrays(f"{source.name}.of_items", source.categories)
            arrays |= _table_arrays(f"{source.name}.popular", source.popular)
        elif isinstance(source, TextSource):
            if source.index is not None:
                save_index(source.index, folder / _TEXT_INDEX)
        elif isinstance(source, PopularSource):
            arrays[f"{source.name}.popularity"] = source.popularity
    (folder / "arrays").mkdir()
    for name, array in arrays.items():
        np.save(folder / "arrays" / f"{name}.npy", np.ascontiguousarray(array))
    (folder / "sources.json").write_text(json.dumps(order, indent=2) + "\n")


def _table_arrays(name: str, table: sp.csr_matrix) -> dict[str, np.ndarray]:
    return {f"{name}.{part}": getattr(table, part) for part in ("data", "indices", "indptr")}


def read_parts(folder: Path, config: RecommenderConfig) -> Recommender:
    """Read what `write_parts` wrote; large arrays are memory-mapped.

    Raises:
        OSError, KeyError, ValueError, lgb.basic.LightGBMError: If it cannot be read.
    """
    arrays = {
        # A plain view of the mapping: `np.memmap` itself is slow to index. Private, not read-only
        # (nothing reaches the file): Numba recognises the type of writable arrays faster.
        path.stem: np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        for path in sorted((folder / "arrays").glob("*.npy"))
    }
    profiles = pl.read_ipc(folder / "items.arrow")
    num_categories, num_brands = arrays["vocabulary_sizes"].tolist()
    features = ItemFeatures(
        dense=arrays["item_dense"],
        # Of text the tower's table and the centred vectors are all that answers need.
        text=np.zeros((len(profiles), 0), dtype=np.float32),
        category_indptr=arrays["category_indptr"],
        category_idx=arrays["category_idx"],
        num_categories=num_categories,
        brand_idx=arrays["brand_idx"],
        num_brands=num_brands,
        rarity=arrays.get("category_rarity"),
    )
    has_item_tower = (folder / _ITEM_TOWER).exists()
    towers = TrainedTowers(
        query=QueryTowerWeights(
            **load_file(folder / "query_tower.safetensors"),
            **{name: arrays[f"query.{name}"] for name in _ITEM_TABLES},
        ),
        item_vectors=arrays["item_vectors"],
        losses=arrays["losses"].tolist(),
        recalls=arrays["recalls"].tolist(),
        item=ItemTowerWeights(**load_file(folder / _ITEM_TOWER)) if has_item_tower else None,
    )
    index = load_index(folder / "index.faiss")
    ranker = json.loads((folder / "ranker.json").read_text())
    order = json.loads((folder / "sources.json").read_text())
    has_text_index = (folder / _TEXT_INDEX).exists()
    text_index = load_index(folder / _TEXT_INDEX) if has_text_index else None
    _check_shapes(arrays, len(profiles))
    sources = [
        _read_source(entry, arrays, config, features, towers, index, text_index) for entry in order
    ]
    return Recommender(
        items=IdMap(ids=profiles["item_id"].to_numpy()),
        item_profiles=profiles,
        features=features,
        text=arrays["text"],
        sources=sources,
        towers=towers,
        index=index,
        ranker=Ranker(booster=lgb.Booster(model_file=folder / "ranker.txt"), **ranker),
        config=config,
        text_centre=arrays.get("text_centre"),
        retired=arrays.get("retired"),
    )


def _check_shapes(arrays: dict[str, np.ndarray], num_items: int) -> None:
    """Make sure that arrays fit together: compiled loops do not look where they read.

    Raises:
        ValueError: If one is of another number of items.
    """
    one_an_item = ("item_vectors", "text", "item_dense", "brand_idx")
    found = {name: len(arrays[name]) for name in one_an_item}
    if "retired" in arrays:
        found["retired"] = len(arrays["retired"])
    found["category_indptr"] = len(arrays["category_indptr"]) - 1
    by_item = ("item_to_item", "next_item", "two_steps", "linear", "browsed")
    tables = (f"{name}.indptr" for name in (*by_item, "popular_in_categories.of_items"))
    found |= {name: len(arrays[name]) - 1 for name in tables if name in arrays}
    wrong = {name: num for name, num in found.items() if num != num_items}
    if wrong:
        raise ValueError(f"{num_items} items, but {wrong}")


def _read_source(
    entry: dict[str, Any],
    arrays: dict[str, np.ndarray],
    config: RecommenderConfig,
    features: ItemFeatures,
    towers: TrainedTowers,
    index: Any,
    text_index: Any,
) -> CandidateSource:
    name, kind = entry["name"], entry["kind"]

    num_items, num_categories = len(features), features.num_categories

    def table(name: str, shape: tuple[int, int] = (num_items, num_items)) -> sp.csr_matrix:
        parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
        return sp.csr_matrix(parts, shape=shape, copy=False)

    match kind:
        case "NeighbourSource":
            weights = HistoryWeights(**entry["weights"])
            return NeighbourSource(name=name, table=table(name), weights=weights)
        case "BrowseSource":
            return BrowseSource(name=name, table=table(name))
        case "CategorySource":
            return CategorySource(
                name=name,
                categories=table(f"{name}.of_items", (num_items, num_categories)),
                popular=table(f"{name}.popular", (num_categories, num_items)),
                weights=HistoryWeights(**entry["weights"]),
            )
        case "PopularSource":
            return PopularSource(name=name, popularity=arrays[f"{name}.popularity"])
        case "TextSource":
            weights = HistoryWeights(**entry["weights"])
            return TextSource(name=name, vectors=arrays["text"], weights=weights, index=text_index)
        case "TwoTowerSource":
            return TwoTowerSource(
                name=name,
                tower=QueryTower(
                    weights=towers.query,
                    features=features,
                    history=config.history,
                    max_history=config.training.max_history,
                ),
                item_vectors=towers.item_vectors,
                index=index,
            )
    raise ValueError(f"unknown kind of source {kind!r}")


def read_config(fields: dict[str, Any]) -> RecommenderConfig:
    """Rebuild a `RecommenderConfig` from its `dataclasses.asdict` form as JSON keeps it."""
    parts = {
        name: _CONFIG_PARTS[name](**_tuples(value)) if name in _CONFIG_PARTS else value
        for name, value in fields.items()
    }
    return RecommenderConfig(**parts)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
