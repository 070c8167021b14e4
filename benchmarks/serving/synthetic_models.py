"""Models over a synthetic catalogue: of the shapes and costs of trained ones, without a training.

Only the ranker is fitted, as what trees cost depends on how they split.

Shape suffixes: I items, B users, K candidates.
"""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from benchmarks.serving.synthetic_catalogue import KIND_SIZE, Catalogue, near_kinds, neighbour_table
from recsys.candidates import CandidateConfig, fuse
from recsys.grades import BOUGHT
from recsys.item_similarity import keep_strongest
from recsys.pair_features import feature_names, pair_features
from recsys.query import Population
from recsys.query_tower import QueryTower, QueryTowerWeights
from recsys.ranker import Ranker, fit_ranker
from recsys.ranker_config import RankerConfig
from recsys.recommender import Recommender
from recsys.retrieval import RecommenderConfig, TrainedTowers
from recsys.retrieval_index import IndexConfig, build_index
from recsys.sources import (
    BrowseSource,
    CandidateSource,
    CategorySource,
    NeighbourSource,
    PopularSource,
    TextSource,
    TwoTowerSource,
)
from recsys.text_index import build_text_index
from recsys.two_tower_inputs import NUM_QUERY_FEATURES

NUM_NEIGHBOURS = 50
NUM_CANDIDATES = 300
NUM_TREES, NUM_LEAVES = 240, 7
_RANKED_USERS = 250
_POPULAR_OF_CATEGORY = 500


def synthetic_recommender(
    catalogue: Catalogue,
    population: Population,
    rng: np.random.Generator,
    *,
    num_trees: int = NUM_TREES,
) -> Recommender:
    """Return a recommender of the nine kinds of sources that a shop with texts and views has."""
    num_items = len(catalogue.items)
    config = RecommenderConfig(
        candidates=CandidateConfig(num_candidates=NUM_CANDIDATES),
        # One thread: with several, a busy machine makes each wait for the others at every leaf.
        ranker=RankerConfig(num_trees=(num_trees,), num_leaves=NUM_LEAVES, num_threads=1),
        index=_index_config(num_items),
    )
    towers = _towers(catalogue, config, rng)
    index = build_index(towers.item_vectors, config.index)
    sources: list[CandidateSource] = [
        TwoTowerSource(
            name="two_tower",
            tower=QueryTower(
                weights=towers.query,
                features=catalogue.features,
                history=config.history,
                max_history=config.training.max_history,
            ),
            item_vectors=towers.item_vectors,
            index=index,
        ),
        *(
            NeighbourSource(
                name=name,
                table=neighbour_table(num_items, NUM_NEIGHBOURS, rng),
                weights=replace(config.history, decay=decay),
            )
            for name, decay in (
                ("item_to_item", config.history.decay),
                ("next_item", config.next_decay),
                ("two_steps", config.next_decay),
            )
        ),
        PopularSource(
            name="popular_recent",
            popularity=catalogue.profiles["num_purchases_90d"].to_numpy().astype(np.float64),
        ),
        _popular_in_categories(catalogue, config),
        TextSource(
            name="text",
            vectors=catalogue.text,
            weights=config.history,
            index=build_text_index(catalogue.text),
        ),
        BrowseSource(name="browsed", table=neighbour_table(num_items, NUM_NEIGHBOURS, rng)),
    ]
    return Recommender(
        items=catalogue.items,
        item_profiles=catalogue.profiles,
        features=catalogue.features,
        text=catalogue.text,
        sources=sources,
        towers=towers,
        index=index,
        ranker=_ranker(catalogue, sources, population, config, rng),
        config=config,
    )


def _index_config(num_items: int) -> IndexConfig:
    """Search small catalogues whole and large ones by cells, tuned to a recall@100 of 0.95."""
    factory = "Flat" if num_items < 50_000 else f"IVF{256 if num_items < 500_000 else 1024},Flat"
    return IndexConfig(factory=factory, tune=True)


def _towers(
    catalogue: Catalogue, config: RecommenderConfig, rng: np.random.Generator
) -> TrainedTowers:
    num_items, dim, hidden = len(catalogue.items), config.towers.dim, config.towers.hidden_dim
    features = catalogue.features
    kinds = np.arange(num_items) // KIND_SIZE
    vectors = near_kinds(kinds, dim, 0.7, rng)

    def normal(*shape: int, scale: float = 0.05) -> np.ndarray:
        return scale * rng.standard_normal(shape, dtype=np.float32)

    none = np.zeros(0, dtype=np.float32)
    query = QueryTowerWeights(
        # What was bought points at its kind, as it does after a training.
        item_table=vectors + normal(num_items, dim, scale=0.3),
        category_table=normal(features.num_categories, dim),
        brand_table=normal(features.num_brands, dim),
        text_table=features.text @ normal(dim, features.text.shape[1]).T,
        text_bias=normal(dim),
        hidden_weight=normal(hidden, 8 * dim + NUM_QUERY_FEATURES),
        hidden_bias=normal(hidden),
        output_weight=normal(dim + 1, hidden),
        output_bias=normal(dim + 1),
        browsed_share=np.array(0.5, dtype=np.float32),
        scale=np.array(1.0, dtype=np.float32),
        recency=np.array(0.5, dtype=np.float32),
        attention_weight=none,
        attention_bias=none,
        attention_output=none,
    )
    bias_and_recency = normal(num_items, 2, scale=0.5)
    return TrainedTowers(
        query=query, item_vectors=np.concatenate([vectors, bias_and_recency], axis=1), losses=[]
    )


def _popular_in_categories(catalogue: Catalogue, config: RecommenderConfig) -> CategorySource:
    features = catalogue.features
    shape = (len(features), features.num_categories)
    each = np.diff(features.category_indptr)
    share = np.repeat(1.0 / np.maximum(each, 1), each).astype(np.float32)
    parts = (features.category_idx, features.category_indptr)
    categories = sp.csr_matrix((share, *parts), shape=shape)
    recent = catalogue.profiles["num_purchases_90d"].to_numpy().astype(np.float64)
    popular = sp.csr_matrix(categories.multiply(recent[:, None])).T.tocsr()
    popular.data /= max(1.0, float(recent.max()))
    popular.eliminate_zeros()
    return CategorySource(
        name="popular_in_categories",
        categories=categories,
        popular=keep_strongest(popular, _POPULAR_OF_CATEGORY),
        weights=config.history,
    )


def _ranker(
    catalogue: Catalogue,
    sources: list[CandidateSource],
    population: Population,
    config: RecommenderConfig,
    rng: np.random.Generator,
) -> Ranker:
    """Fit trees on purchases drawn by several features, and let them answer alone."""
    users = rng.choice(len(population.users), _RANKED_USERS, replace=False)
    query = population.query(users)
    candidates = fuse(query, sources, config.candidates)
    features = pair_features(query, candidates, catalogue.features, catalogue.text)
    told = np.nan_to_num((features - features.mean((0, 1))) / (features.std((0, 1)) + 1e-6))
    drawn = told @ rng.normal(0, 1, told.shape[2]) + rng.normal(0, 4, told.shape[:2])
    drawn = np.where(candidates.item_idx >= 0, drawn, -np.inf)
    grades = (drawn >= np.sort(drawn, axis=1)[:, -3:-2]) * np.int8(BOUGHT)
    ranker = fit_ranker(
        features,
        candidates,
        grades.astype(np.int8),
        num_targets=grades.astype(bool).sum(1),
        num_asked=len(users),
        names=feature_names(candidates.sources),
        config=config.ranker,
    )
    return replace(ranker, blend=1.0)
