"""Fitting of all candidate sources on one world."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import faiss
import numpy as np
import scipy.sparse as sp

from recsys.candidates import CandidateConfig
from recsys.history_weights import HistoryWeights
from recsys.item_similarity import (
    co_visitation,
    keep_strongest,
    linear_autoencoder,
    transitions,
    two_steps,
)
from recsys.item_tower import ItemTowerWeights
from recsys.query_tower import QueryTower, QueryTowerWeights
from recsys.ranker_config import RankerConfig
from recsys.recency import recent_popularity
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
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig
from recsys.world import World

PEERS = ("popular", "item_knn")


@dataclass(frozen=True, kw_only=True)
class RecommenderConfig:
    """Everything that decides what is learned.

    Attributes:
        history: How past items are weighted.
        next_decay: Of the history of the sources that ask what comes next.
        shrinkage: Of the co-visitation cosine; half of it of the transitions.
        linear_l2: Ridge of the linear autoencoder.
        linear_max_items: Largest catalogue the linear autoencoder is fitted on (it is cubic).
        max_neighbours: Kept per item in each table.
        candidates: How sources are fused.
        towers: Shape of the two-tower.
        training: How the two-tower is trained.
        ranker: How the ranker is fitted.
        label_positions: How many of each user's last items before the tested one the ranker learns
            from; of periods before a time split one more. Each is a fit of all sources.
        index: How the FAISS index is built.
    """

    history: HistoryWeights = field(default_factory=HistoryWeights)
    next_decay: float = 0.5
    shrinkage: float = 10.0
    linear_l2: float = 150.0
    linear_max_items: int = 5000
    max_neighbours: int = 500
    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    towers: TwoTowerConfig = field(default_factory=TwoTowerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    label_positions: int = 2
    index: IndexConfig = field(default_factory=IndexConfig)


@dataclass(frozen=True, kw_only=True)
class TrainedTowers:
    """What is kept of a trained two-tower.

    Attributes:
        query: Weights of the query tower.
        item_vectors: Item tower output, float32, shape (I, D + 2).
        losses: Mean loss of each epoch.
        recalls: Recall@100 on rows held out, after each epoch; empty where none were.
        item: Weights of the item tower, by which items are added later.
    """

    query: QueryTowerWeights
    item_vectors: np.ndarray
    losses: list[float]
    recalls: list[float] = field(default_factory=list)
    item: ItemTowerWeights | None = None


TowerTrainer = Callable[[list[TowerData], TwoTowerConfig, TrainingConfig], list[TrainedTowers]]


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """All fitted sources of one world, in the order in which they vote."""

    sources: list[CandidateSource]
    towers: TrainedTowers
    index: faiss.Index


def tower_data(world: World, config: RecommenderConfig) -> TowerData:
    """Return what the two-tower is trained on in this world."""
    return TowerData(
        interactions=world.population.bought,
        browse_log=world.browse_log,
        features=world.features,
        weights=config.history,
    )


def fit_sources(world: World, towers: TrainedTowers, config: RecommenderConfig) -> Retrieval:
    """Fit every source on what is visible; sources without data of their kind are left out."""
    bought, browsed = world.population.bought, world.population.browsed
    index = build_index(towers.item_vectors, config.index)
    steps = transitions(
        bought,
        max_gap=10,
        backward=0.5,
        shrinkage=config.shrinkage / 2,
        max_neighbours=config.max_neighbours,
    )
    of_latest = replace(config.history, decay=config.next_decay)
    sources: list[CandidateSource] = [
        TwoTowerSource(
            name="two_tower",
            tower=QueryTower(
                weights=towers.query,
                features=world.features,
                history=config.history,
                max_history=config.training.max_history,
            ),
            item_vectors=towers.item_vectors,
            index=index,
        ),
        NeighbourSource(
            name="item_to_item",
            table=co_visitation(
                bought, shrinkage=config.shrinkage, max_neighbours=config.max_neighbours
            ),
            weights=config.history,
        ),
        NeighbourSource(name="next_item", table=steps, weights=of_latest),
        NeighbourSource(
            name="two_steps",
            table=two_steps(steps, max_neighbours=config.max_neighbours),
            weights=of_latest,
        ),
        PopularSource(name="popular_recent", popularity=recent_popularity(bought)),
    ]
    if len(world.features.category_idx):
        sources.append(popular_in_categories(world, config))
    if world.features.text.any():
        sources.append(
            TextSource(
                name="text",
                vectors=world.text,
                weights=config.history,
                index=build_text_index(world.text),
            )
        )
    if bought.num_items <= config.linear_max_items:
        table = linear_autoencoder(bought, l2=config.linear_l2, max_neighbours=bought.num_items)
        sources.append(NeighbourSource(name="linear", table=table, weights=config.history))
    if len(browsed):
        table = co_visitation(
            browsed, shrinkage=config.shrinkage, max_neighbours=config.max_neighbours
        )
        sources.append(BrowseSource(name="browsed", table=table))
    return Retrieval(sources=sources, towers=towers, index=index)


def popular_in_categories(world: World, config: RecommenderConfig) -> CategorySource:
    """Return what is popular of late in each category, and how items share in categories.

    An item's weight of one is shared among its categories by their rarity, log(I / n).
    """
    features = world.features
    shape = (len(features), features.num_categories)
    rarity = np.maximum(features.category_rarity[features.category_idx], 1e-6)
    parts = (features.category_idx, features.category_indptr)
    told = sp.csr_matrix((rarity, *parts), shape=shape)
    belongs = sp.csr_matrix((np.ones_like(rarity), *parts), shape=shape)
    recent = sp.csr_matrix(belongs.multiply(recent_popularity(world.population.bought)[:, None])).T
    share = _rows_to_one(sp.csr_matrix(recent))
    share.eliminate_zeros()
    return CategorySource(
        name="popular_in_categories",
        categories=_rows_to_one(told),
        popular=keep_strongest(share, config.max_neighbours),
        weights=config.history,
    )


def _rows_to_one(table: sp.csr_matrix) -> sp.csr_matrix:
    """Divide each row by its sum."""
    sums = np.asarray(table.sum(1)).ravel()
    each = np.repeat(np.maximum(sums, 1e-9), np.diff(table.indptr))
    return sp.csr_matrix(
        ((table.data / each).astype(np.float32), table.indices, table.indptr), table.shape
    )


def peers(world: World) -> list[CandidateSource]:
    """Return the plain baselines every report shows: popular, and item-kNN by cosine."""
    bought = world.population.bought
    flat = HistoryWeights(decay=1.0, sentiment_strength=0.0)
    table: sp.csr_matrix = co_visitation(bought, shrinkage=0.0, max_neighbours=bought.num_items)
    return [
        PopularSource(name=PEERS[0], popularity=bought.popularity().astype(np.float32)),
        NeighbourSource(name=PEERS[1], table=table, weights=flat),
    ]
