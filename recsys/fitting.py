"""The whole fit: learn to rank on some worlds, test on the next, then learn from everything.

Sources are fitted in each world anew on what is visible there. The ranker learns from what was held
out of the first worlds (`recsys.cuts`), is tested on what was held out of the next, and serves with
the sources of the last, which hold everything. So the published metrics are those of the same
configuration one step earlier, and no hyper-parameter has seen the test rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.candidates import Candidates
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
from recsys.shown_lists import Circumstances, ShopWishes, evaluate_shown, shown_to_all
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
        shown: The ranker's lists as the shop wants them rearranged; None where nobody asked.
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
    shown: Evaluated | None = None

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
    wishes: ShopWishes | None = None,
    progress: Progress = lambda step: None,
) -> Fitted:
    """Run the whole fit.

    Args:
        tables: The shop's tables.
        cuts: What each world may see of them.
        config: What decides the fit.
        train_towers: Trains one two-tower for each world it is given.
        wishes: How lists are rearranged that are measured as they are shown; None measures none.
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
    tested = _recommender(test, of_test, ranker, config)
    ranked = rank_all(test, tested)
    evaluated = evaluate_sources(test, of_test) | evaluate_ranker(test, *ranked)
    newcomers = shown = None
    if cuts.newcomers is not None:
        asked = test.asking_about(cuts.newcomers, tables)
        if len(asked.asked):
            newcomers = evaluate_ranker(asked, *rank_all(asked, tested))["ranker"]
    if wishes is not None:
        progress("rearrange lists")
        around = Circumstances.of(tested, test, cuts.test, tables.signals.lazy())
        shown = evaluate_shown(test, shown_to_all(tested, test, ranked, around, wishes))
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
        shown=shown,
    )


def evaluate_sources(world: World, retrieval: Retrieval) -> dict[str, Evaluated]:
    """Measure every peer and every source, by name."""
    of_peers = {peer.name: evaluate_source(world, peer) for peer in peers(world)}
    return of_peers | {
        source.name: evaluate_source(
            world, _exact(source) if isinstance(source, TwoTowerSource) else source
        )
        for source in retrieval.sources
    }


def rank_all(world: World, recommender: Recommender) -> tuple[Candidates, np.ndarray]:
    """Return candidates of all asked users (B, K) and the ranker's scores of them (B, K)."""
    sources, config = recommender.sources, recommender.config.candidates
    candidates, features = candidates_and_features(world, sources, config)
    return candidates, recommender.ranker.score(features, candidates)


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
        text_centre=world.text_centre,
    )
