"""The whole fit of a tiny shop: what it promises about rows, figures and refusals."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from tiny_shop import CONFIG, NUM_USERS, FittedShop, fit_tiny, tiny_shop

from features.visibility import hold_out
from recsys.cuts import positional_cuts
from recsys.errors import NotEnoughDataError
from recsys.evaluation import (
    LEAST_VOTE,
    Evaluated,
    candidates_and_features,
    compare_with_best,
    evaluate_source,
    lessons,
    source_weights,
    user_batches,
)
from recsys.fitting import fit_alike, fit_and_test, with_votes
from recsys.metrics import ndcg, summarise, target_ranks
from recsys.retrieval import fit_sources, peers, recent_popularity, tower_data
from recsys.sources import NeighbourSource, PopularSource
from recsys.tower_fitting import fit_each, fit_towers
from recsys.world import build_world


def test_everything_is_measured_on_the_same_users(shop: FittedShop) -> None:
    fitted = shop.fitted
    assert fitted.num_test_users == NUM_USERS
    sources = {source.name for source in shop.retrieval.sources}
    assert set(fitted.metrics) == sources | {"popular", "item_knn", "candidates", "ranker"}
    for metrics in map(dict, fitted.metrics.values()):
        assert metrics.pop("novelty@10") >= 0.0, "bits"
        assert all(0.0 <= value <= 1.0 for value in metrics.values())
        assert metrics["ndcg@10"] <= metrics["recall@10"] <= metrics["recall@100"]
    assert fitted.comparison.best_source in sources


def test_what_is_published_has_seen_everything(shop: FittedShop) -> None:
    world = shop.fitted.world
    assert world is not None
    purchases = shop.tables.events.filter(pl.col("event_type") == "purchase")
    assert len(world.population.bought) == purchases.n_unique(["user_id", "item_id"])
    assert len(world.asked) == 0


def test_an_evaluation_alone_publishes_nothing_and_measures_the_same(shop: FittedShop) -> None:
    steps: list[str] = []
    events, reviews = shop.tables.events, shop.tables.reviews
    fitted = fit_and_test(
        shop.tables,
        positional_cuts(events, reviews, num_learned=CONFIG.label_positions, as_of=None),
        CONFIG,
        fit_each,
        progress=steps.append,
    )
    assert fitted.recommender is None
    assert fitted.world is None
    assert fitted.metrics == shop.fitted.metrics
    assert steps == ["cut worlds", "train two-tower", "fit sources", "fit ranker", "evaluate"]


def test_a_source_is_ranked_over_the_catalogue_without_what_was_bought(shop: FittedShop) -> None:
    world = shop.world
    source = shop.retrieval.sources[1]
    found = evaluate_source(world, source)
    ranks = []
    for b, user in enumerate(world.asked):
        query = world.population.query(np.array([user]))
        scores = source.score(query)[0]
        targets = world.target_item[world.target_indptr[b] : world.target_indptr[b + 1]]
        ranks.append(target_ranks(scores, query.bought.item_idx, targets))
    wanted = summarise(ranks)
    assert {name: found.metrics[name] for name in wanted} == pytest.approx(wanted)
    assert found.ndcg.tolist() == pytest.approx([ndcg(r, 10) for r in ranks])


def test_batches_cover_every_asked_user_once(shop: FittedShop) -> None:
    parts = list(user_batches(shop.world))
    assert sum(len(query) for _, query in parts) == NUM_USERS
    assert [part.start for part, _ in parts] == [0]


def test_too_few_purchases_are_refused() -> None:
    tables = tiny_shop()
    firsts = tables.events.filter(pl.col("event_type") == "purchase").unique(
        "user_id", keep="first", maintain_order=True
    )
    with pytest.raises(NotEnoughDataError, match="more than 2 distinct items"):
        fit_tiny(dataclasses.replace(tables, events=firsts))


def test_recent_purchases_count_more(shop: FittedShop) -> None:
    bought = shop.world.population.bought
    found = recent_popularity(bought, half_life_days=10.0)
    wanted = np.zeros(bought.num_items)
    last = bought.event_time.max()
    for item, time in zip(bought.item_idx, bought.event_time, strict=True):
        wanted[item] += 0.5 ** ((last - time) / 86_400e6 / 10.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    nobody = bought.keep(np.zeros(len(bought), dtype=bool))
    assert not recent_popularity(nobody).any()


def test_peers_are_plain_popularity_and_cosine(shop: FittedShop) -> None:
    popular, knn = peers(shop.world)
    bought = shop.world.population.bought
    assert isinstance(popular, PopularSource)
    assert popular.popularity.tolist() == bought.popularity().tolist()
    assert isinstance(knn, NeighbourSource)
    assert set(knn.weights.of(bought.histories(np.arange(NUM_USERS))).tolist()) == {1.0}


def measured(values: list[float]) -> Evaluated:
    ndcg = np.array(values)
    nothing = np.zeros(0)
    return Evaluated(
        metrics={"ndcg@10": float(ndcg.mean())},
        ndcg=ndcg,
        recall_100=ndcg,
        ranks=nothing,
        lists=nothing,
    )


def test_the_comparison_is_paired_with_the_best_source() -> None:
    sources = {"a": measured([0.0, 0.1, 0.2]), "b": measured([0.5, 0.5, 0.2])}
    found = compare_with_best(measured([0.6, 0.4, 0.5]), sources)
    differences = [0.1, -0.1, 0.3]
    assert found.best_source == "b"
    assert found.difference == pytest.approx(np.mean(differences))
    assert found.standard_error == pytest.approx(np.std(differences) / 3**0.5)


def test_votes_are_worth_what_sources_did(shop: FittedShop) -> None:
    world, sources = shop.world, shop.retrieval.sources
    found = source_weights(world, sources, most_users=10_000, seed=0)
    alone = {s.name: evaluate_source(world, s).metrics["ndcg@10"] for s in sources}
    best = max(alone.values())
    assert found == {name: max(LEAST_VOTE, value / best) for name, value in alone.items()}
    few = source_weights(world, sources, most_users=5, seed=0)
    assert set(few) == set(found)
    silent = PopularSource(name="none", popularity=np.zeros(len(world.items), dtype=np.float32))
    assert source_weights(world, [silent], most_users=5, seed=0) == {"none": 1.0}


def test_votes_that_are_given_stay(shop: FittedShop) -> None:
    given = dataclasses.replace(
        CONFIG, candidates=dataclasses.replace(CONFIG.candidates, weights={"text": 2.0})
    )
    assert with_votes(shop.world, shop.retrieval, given) == given
    fitted = with_votes(shop.world, shop.retrieval, CONFIG)
    assert set(fitted.candidates.weights) == {source.name for source in shop.retrieval.sources}
    assert shop.fitted.recommender is not None
    assert shop.fitted.recommender.config.candidates.weights, "served with the votes of the fit"


def test_a_world_may_be_asked_less(shop: FittedShop) -> None:
    world = shop.world
    rows = np.array([1, 4, 5])
    less = world.asking(rows)
    assert less.asked.tolist() == world.asked[rows].tolist()
    for b, row in enumerate(rows):
        for name in ("target_item", "target_grade"):
            kept = getattr(less, name)[less.target_indptr[b] : less.target_indptr[b + 1]]
            whole = getattr(world, name)[world.target_indptr[row] : world.target_indptr[row + 1]]
            assert kept.tolist() == whole.tolist()


def test_lessons_are_of_those_who_took_something_retrieved(shop: FittedShop) -> None:
    world, sources = shop.world, shop.retrieval.sources
    config = dataclasses.replace(CONFIG.candidates, num_candidates=5)
    learned = lessons([world, world], [sources, sources], config)
    assert learned.num_asked == 2 * len(world.asked)
    candidates, features = candidates_and_features(world, sources, config)
    rows = [
        b
        for b in range(len(world.asked))
        if world.target_item[world.target_indptr[b]] in candidates.item_idx[b]
    ]
    assert 0 < len(rows) < len(world.asked)
    np.testing.assert_allclose(learned.features[: len(rows)], features[rows], atol=1e-5)
    np.testing.assert_array_equal(
        learned.candidates.item_idx[: len(rows)], candidates.item_idx[rows]
    )
    for b, row in enumerate(rows):
        place = world.target_indptr[row]
        wanted = np.where(
            candidates.item_idx[row] == world.target_item[place], world.target_grade[place], 0
        )
        assert learned.grades[b].tolist() == wanted.tolist()
    assert (learned.num_targets == 1).all()


def test_a_source_that_one_world_has_no_data_for_is_left_out_of_all() -> None:
    tables = tiny_shop()
    worlds = [
        build_world(tables, hold_out(tables.events, tables.reviews, offset=offset))
        for offset in (2, 1)
    ]
    browsed = worlds[0].population.browsed
    nothing = browsed.keep(np.zeros(len(browsed), dtype=bool))
    silent = dataclasses.replace(worlds[0].population, browsed=nothing)
    worlds[0] = dataclasses.replace(worlds[0], population=silent)
    towers = [fit_towers(tower_data(w, CONFIG), CONFIG.towers, CONFIG.training) for w in worlds]
    alone = {source.name for source in fit_sources(worlds[1], towers[1], CONFIG).sources}
    alike = [{s.name for s in found.sources} for found in fit_alike(worlds, towers, CONFIG)]
    assert alike == [alone - {"browsed"}] * 2
    assert "browsed" in alone
