"""The whole fit: learn to rank on some worlds, test on the next, then learn from everything.

Sources are fitted in each world anew on what is visible there. The ranker learns from what was held
out of the first worlds (`recsys.cuts`), is tested on what was held out of the next, and serves with
the sources of the last, which hold everything. So the published metrics are those of the same
configuration one step earlier, and no hyper-parameter has seen the test rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from recsys.cuts import Cuts
from recsys.evaluation import (
    Comparison,
    Evaluated,
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
        test: The world that was tested on.
        evaluated: What was measured there, by source and peer, and of `candidates` and `ranker`.
        newcomers: The ranker for users who have bought nothing yet; None where the protocol has
            none.
        comparison: The ranker against its own best source on the same rows.
        ranker: The fitted ranker, with its validation figures.
        sentiment: What texts add to stars on the held-out purchases; None with too few reviews.
    """

    recommender: Recommender | None
    world: World | None
    test: World
    evaluated: dict[str, Evaluated]
    newcomers: Evaluated | None
    comparison: Comparison
    ranker: Ranker
    sentiment: SentimentGain | None

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics on the held-out rows, by name."""
        return {name: measured.metrics for name, measured in self.evaluated.items()}

    @property
    def num_test_users(self) -> int:
        """Users behind the metrics."""
        return len(self.test.asked)


def fit_and_test(
    tables: ShopTables,
    cuts: Cuts,
    config: RecommenderConfig,
    train_towers: TowerTrainer,
    *,
    progress: Progress = lambda step: None,
) -> Fitted:
    """Run the whole fit.

    Args:
        tables: The shop's tables.
        cuts: What each world may see of them.
        config: What decides the fit.
        train_towers: Trains one two-tower for each world it is given.
        progress: Called with the name of each step as it starts.

    Raises:
        NotEnoughDataError: If there is too little to learn from.
    """
    progress("cut worlds")
    # How what is learned from went is known as far as the test may see.
    known = replace(tables, events=cuts.test.events, reviews=cuts.test.reviews)
    learned = [build_world(known, cut) for cut in cuts.learned]
    test = build_world(tables, cuts.test)
    final = None if cuts.final is None else build_world(tables, cuts.final)
    worlds = [*learned, test, *([] if final is None else [final])]
    progress("train two-tower")
    towers = train_towers(
        [tower_data(world, config) for world in worlds], config.towers, config.training
    )
    progress("fit sources")
    retrievals = fit_alike(worlds, towers, config)
    of_learned, of_test = retrievals[: len(learned)], retrievals[len(learned)]
    progress("fit ranker")
    config = with_votes(learned[-1], of_learned[-1], config)
    ranker = learn_to_rank(learned, of_learned, config)
    progress("evaluate")
    evaluated = evaluate_all(test, of_test, ranker, config)
    newcomers = None
    if cuts.newcomers is not None:
        asked = test.asking_about(cuts.newcomers, tables)
        if len(asked.asked):
            newcomers = evaluate_recommender(asked, of_test, ranker, config)["ranker"]
    return Fitted(
        recommender=None if final is None else _recommender(final, retrievals[-1], ranker, config),
        world=final,
        test=test,
        evaluated=evaluated,
        newcomers=newcomers,
        comparison=compare_with_best(
            evaluated["ranker"], {s.name: evaluated[s.name] for s in of_test.sources}
        ),
        ranker=ranker,
        sentiment=sentiment_gain(
            [cuts.learned[-1], cuts.test], tables.reviews, tables.signals.lazy()
        ),
    )


def evaluate_all(
    world: World, retrieval: Retrieval, ranker: Ranker, config: RecommenderConfig
) -> dict[str, Evaluated]:
    """Measure every peer, every source, the fused candidates and the ranker, by name."""
    of_peers = {peer.name: evaluate_source(world, peer) for peer in peers(world)}
    of_sources = {
        source.name: evaluate_source(
            world, _exact(source) if isinstance(source, TwoTowerSource) else source
        )
        for source in retrieval.sources
    }
    return of_peers | of_sources | evaluate_recommender(world, retrieval, ranker, config)


def evaluate_recommender(
    world: World, retrieval: Retrieval, ranker: Ranker, config: RecommenderConfig
) -> dict[str, Evaluated]:
    """Measure the fused candidates and the ranker's own order, before anything is rearranged."""
    candidates, features = candidates_and_features(world, retrieval.sources, config.candidates)
    return evaluate_ranker(world, candidates, features, ranker)


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
