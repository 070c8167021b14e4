"""The whole fit: learn to rank on one held-out row, test on the next, then learn from everything.

    offsets 3, 2   sources fitted on rows before each user's last three and two; the ranker learns
                   from seq[-3] and seq[-2]
    offset 1       sources fitted again on rows before the last; tested on seq[-1]
    offset 0       sources fitted on everything before `as_of`; this is what is published

So the published metrics are those of the same configuration one row earlier, and no hyper-parameter
has seen the test row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from features.visibility import everything, hold_out
from recsys.errors import NotEnoughDataError
from recsys.evaluation import (
    Comparison,
    candidates_and_features,
    compare_with_best,
    evaluate_ranker,
    evaluate_source,
    lessons,
    source_weights,
)
from recsys.pair_features import feature_names
from recsys.ranker import Ranker, fit_ranker
from recsys.recommender import Recommender
from recsys.retrieval import (
    RecommenderConfig,
    Retrieval,
    TowerTrainer,
    TrainedTowers,
    TwoTowerSource,
    fit_sources,
    peers,
    tower_data,
)
from recsys.satisfaction import SentimentGain, sentiment_gain
from recsys.world import ShopTables, World, build_world

Progress = Callable[[str], None]
VOTING_USERS = 2000


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
    offsets = range(1 + config.label_positions, 0, -1)
    cuts = [hold_out(tables.events, tables.reviews, offset=offset) for offset in offsets]
    for cut, offset in zip(cuts[-2:], (2, 1), strict=True):
        if cut.targets.is_empty():
            raise NotEnoughDataError(
                f"no user has more than {offset} distinct items bought: leave-one-out needs a "
                "history and a held-out row; bring more purchases"
            )
    cuts = [cut for cut in cuts if len(cut.targets)]
    if as_of is not None:
        cuts.append(everything(tables.events, tables.reviews, as_of=as_of))
    num_learned = len(cuts) - 1 - (as_of is not None)
    # How what is learned from went is known as far as the test may see.
    seen = cuts[num_learned]
    known = replace(tables, events=seen.events, reviews=seen.reviews)
    worlds = [build_world(known, cut) for cut in cuts[:num_learned]]
    worlds += [build_world(tables, cut) for cut in cuts[num_learned:]]
    progress("train two-tower")
    towers = train_towers(
        [tower_data(world, config) for world in worlds], config.towers, config.training
    )
    progress("fit sources")
    retrievals = fit_alike(worlds, towers, config)
    progress("fit ranker")
    config = with_votes(worlds[num_learned - 1], retrievals[num_learned - 1], config)
    ranker = learn_to_rank(worlds[:num_learned], retrievals[:num_learned], config)
    progress("evaluate")
    test = worlds[num_learned]
    metrics, comparison = evaluate_all(test, retrievals[num_learned], ranker, config)
    tested = cuts[num_learned - 1 : num_learned + 1]
    gain = sentiment_gain(tested, tables.reviews, tables.signals.lazy())
    recommender = None
    if as_of is not None:
        recommender = _recommender(worlds[-1], retrievals[-1], ranker, config)
    return Fitted(
        recommender=recommender,
        world=worlds[-1] if as_of is not None else None,
        metrics=metrics,
        comparison=comparison,
        ranker=ranker,
        num_test_users=len(test.asked),
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


def fit_alike(
    worlds: Sequence[World], towers: Sequence[TrainedTowers], config: RecommenderConfig
) -> list[Retrieval]:
    """Fit the sources of worlds, and keep those that all of them have data for.

    A ranker that learned without a source could not read what it says.
    """
    fitted = [fit_sources(*of_world, config) for of_world in zip(worlds, towers, strict=True)]
    names = set.intersection(*({source.name for source in found.sources} for found in fitted))
    return [
        replace(found, sources=[source for source in found.sources if source.name in names])
        for found in fitted
    ]


def with_votes(world: World, retrieval: Retrieval, config: RecommenderConfig) -> RecommenderConfig:
    """Return the configuration with votes of sources by how well they did, unless some are given.

    Args:
        world: One that is learned from.
        retrieval: Its sources.
        config: What decides the fit.
    """
    if config.candidates.weights:
        return config
    seed = config.ranker.seed
    weights = source_weights(world, retrieval.sources, most_users=VOTING_USERS, seed=seed)
    return replace(config, candidates=replace(config.candidates, weights=weights))


def learn_to_rank(
    worlds: Sequence[World], retrievals: Sequence[Retrieval], config: RecommenderConfig
) -> Ranker:
    """Fit the ranker on what was held out of one or more worlds.

    Raises:
        NotEnoughDataError: If too few users took something that was retrieved.
    """
    learned = lessons(worlds, [found.sources for found in retrievals], config.candidates)
    return fit_ranker(
        learned.features,
        learned.candidates,
        learned.grades,
        num_targets=learned.num_targets,
        num_asked=learned.num_asked,
        names=feature_names(learned.candidates.sources),
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
