"""The whole fit: learn to rank on one held-out row, test on the next, then learn from everything.

    offset 2   sources fitted on rows before each user's last two; the ranker learns from seq[-2]
    offset 1   sources fitted again on rows before the last; tested on seq[-1]
    offset 0   sources fitted on everything before `as_of`; this is what is published

So the published metrics are those of the same configuration one row earlier, and no hyper-parameter
has seen the test row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from features.visibility import Visible, everything, hold_out
from recsys.candidates import Candidates
from recsys.errors import NotEnoughDataError
from recsys.evaluation import (
    Comparison,
    candidates_and_features,
    compare_with_best,
    evaluate_ranker,
    evaluate_source,
)
from recsys.pair_features import feature_names
from recsys.ranker import Ranker, fit_ranker
from recsys.recommender import Recommender
from recsys.retrieval import (
    RecommenderConfig,
    Retrieval,
    TowerTrainer,
    TwoTowerSource,
    fit_sources,
    peers,
    tower_data,
)
from recsys.satisfaction import SentimentGain, sentiment_gain
from recsys.world import ShopTables, World, build_world

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a whole fit yields.

    Attributes:
        recommender: Fitted on everything visible; None where only an evaluation was asked for.
        world: The world it was fitted on; None likewise.
        metrics: Metrics by source and peer, and of `candidates` and `ranker`, on held-out rows.
        comparison: The ranker against its own best source on the same rows.
        ranker: The fitted ranker, with its validation figures.
        num_test_users: Users behind the metrics.
        sentiment: What texts add to stars on the held-out purchases; None with too few reviews.
    """

    recommender: Recommender | None
    world: World | None
    metrics: dict[str, dict[str, float]]
    comparison: Comparison
    ranker: Ranker
    num_test_users: int
    sentiment: SentimentGain | None


def fit_and_test(
    tables: ShopTables,
    config: RecommenderConfig,
    train_towers: TowerTrainer,
    *,
    as_of: datetime | None,
    progress: Progress = lambda step: None,
) -> Fitted:
    """Run the whole fit.

    Args:
        tables: The shop's tables.
        config: What decides the fit.
        train_towers: Trains one two-tower for each world it is given.
        as_of: Fit the published recommender on rows strictly before this time; None only evaluates.
        progress: Called with the name of each step as it starts.

    Raises:
        NotEnoughDataError: If there are too few users with three distinct items.
    """
    progress("cut worlds")
    cuts: list[Visible] = [
        hold_out(tables.events, tables.reviews, offset=offset) for offset in (2, 1)
    ]
    if as_of is not None:
        cuts.append(everything(tables.events, tables.reviews, as_of=as_of))
    for cut, offset in zip(cuts, (2, 1), strict=False):
        if cut.targets.is_empty():
            raise NotEnoughDataError(
                f"no user has more than {offset} distinct items bought: leave-one-out needs a "
                "history and a held-out row; bring more purchases"
            )
    worlds = [build_world(tables, cut) for cut in cuts]
    progress("train two-tower")
    towers = train_towers(
        [tower_data(world, config) for world in worlds], config.towers, config.training
    )
    progress("fit sources")
    retrievals = [
        fit_sources(world, trained, config) for world, trained in zip(worlds, towers, strict=True)
    ]
    progress("fit ranker")
    ranker = _fit_ranker(worlds[0], retrievals[0], config)
    progress("evaluate")
    metrics, comparison = evaluate_all(worlds[1], retrievals[1], ranker, config)
    gain = sentiment_gain(cuts[:2], tables.reviews, tables.signals.lazy())
    recommender = None
    if as_of is not None:
        recommender = _recommender(worlds[2], retrievals[2], ranker, config)
    return Fitted(
        recommender=recommender,
        world=worlds[2] if as_of is not None else None,
        metrics=metrics,
        comparison=comparison,
        ranker=ranker,
        num_test_users=len(worlds[1].asked),
        sentiment=gain,
    )


def evaluate_all(
    world: World, retrieval: Retrieval, ranker: Ranker, config: RecommenderConfig
) -> tuple[dict[str, dict[str, float]], Comparison]:
    """Measure every peer, every source, the fused candidates and the ranker.

    Returns:
        Metrics by name, and the ranker against its own best source.
    """
    of_peers = {peer.name: evaluate_source(world, peer) for peer in peers(world)}
    of_sources = {
        source.name: evaluate_source(
            world, _exact(source) if isinstance(source, TwoTowerSource) else source
        )
        for source in retrieval.sources
    }
    candidates, features = candidates_and_features(world, retrieval.sources, config.candidates)
    ours = evaluate_ranker(world, candidates, features, ranker)
    everything_measured = of_peers | of_sources | ours
    return (
        {name: measured.metrics for name, measured in everything_measured.items()},
        compare_with_best(ours["ranker"], of_sources),
    )


def _exact(source: TwoTowerSource) -> TwoTowerSource:
    return TwoTowerSource(name=source.name, tower=source.tower, item_vectors=source.item_vectors)


def _fit_ranker(world: World, retrieval: Retrieval, config: RecommenderConfig) -> Ranker:
    candidates: Candidates
    candidates, features = candidates_and_features(world, retrieval.sources, config.candidates)
    single = np.diff(world.target_indptr) == 1
    assert single.all(), "leave-one-out holds out one item a user"
    return fit_ranker(
        features,
        candidates,
        world.target_item,
        names=feature_names(candidates.sources),
        config=config.ranker,
    )


def _recommender(
    world: World, retrieval: Retrieval, ranker: Ranker, config: RecommenderConfig
) -> Recommender:
    return Recommender(
        items=world.items,
        item_profiles=world.item_profiles,
        features=world.features,
        text=world.text,
        sources=retrieval.sources,
        towers=retrieval.towers,
        index=retrieval.index,
        ranker=ranker,
        config=config,
    )
