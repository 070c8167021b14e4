"""What every candidate source can do, whatever its kind."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tiny_shop import FittedShop, random_features, random_interactions, random_query, rows_of

from features.text_vectors import centred_text
from recsys.history_weights import HistoryWeights
from recsys.item_similarity import (
    co_visitation,
    linear_autoencoder,
    transitions,
    two_steps,
)
from recsys.query import USER_COLUMNS, Query
from recsys.query_tower import QueryTower, QueryTowerWeights
from recsys.repurchase import Replenishment, RepurchaseConfig, RepurchaseSource
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
from recsys.two_tower_inputs import NUM_QUERY_FEATURES

NUM_USERS, NUM_ITEMS, DIM = 6, 12, 4
FEATURES = random_features(0)
WEIGHTS = HistoryWeights()
INTERACTIONS = random_interactions(5)


def tower() -> QueryTower:
    rng = np.random.default_rng(1)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return QueryTower(
        weights=QueryTowerWeights(
            item_table=weights(NUM_ITEMS, DIM),
            category_table=weights(4, DIM),
            brand_table=weights(3, DIM),
            text_table=weights(NUM_ITEMS, DIM),
            text_bias=weights(DIM),
            hidden_weight=weights(8, 8 * DIM + NUM_QUERY_FEATURES),
            hidden_bias=weights(8),
            output_weight=weights(DIM + 1, 8),
            output_bias=weights(DIM + 1),
            browsed_share=np.array(0.5, dtype=np.float32),
            scale=np.array(2.0, dtype=np.float32),
            recency=np.array(0.3, dtype=np.float32),
            attention_weight=weights(0),
            attention_bias=weights(0),
            attention_output=weights(0),
        ),
        features=FEATURES,
        history=WEIGHTS,
        max_history=5,
    )


def two_tower(index: str | None) -> TwoTowerSource:
    vectors = np.random.default_rng(2).normal(size=(NUM_ITEMS, DIM + 2)).astype(np.float32)
    return TwoTowerSource(
        name="s",
        tower=tower(),
        item_vectors=vectors,
        index=build_index(vectors, IndexConfig(factory=index)) if index else None,
    )


def neighbours(table) -> NeighbourSource:
    return NeighbourSource(name="s", table=table, weights=WEIGHTS)


def replenishment() -> Replenishment:
    rng = np.random.default_rng(4)
    return Replenishment(
        log_mean=rng.uniform(2, 4, NUM_ITEMS),
        deviation=0.8,
        chance=rng.uniform(0.1, 0.6, NUM_ITEMS) * (np.arange(NUM_ITEMS) % 4 > 0),
        config=RepurchaseConfig(),
    )


SOURCES: dict[str, Callable[[], CandidateSource]] = {
    "co_visitation": lambda: neighbours(
        co_visitation(INTERACTIONS, shrinkage=1.0, max_neighbours=5)
    ),
    "transitions": lambda: neighbours(
        transitions(INTERACTIONS, max_gap=3, backward=0.5, shrinkage=1.0, max_neighbours=5)
    ),
    "two steps": lambda: neighbours(
        two_steps(co_visitation(INTERACTIONS, shrinkage=1.0, max_neighbours=5), max_neighbours=9)
    ),
    "linear": lambda: neighbours(linear_autoencoder(INTERACTIONS, l2=1.0, max_neighbours=12)),
    "browse": lambda: BrowseSource(
        name="s", table=co_visitation(INTERACTIONS, shrinkage=1.0, max_neighbours=5)
    ),
    "popular": lambda: PopularSource(name="s", popularity=INTERACTIONS.popularity()),
    "popular in categories": lambda: CategorySource(
        name="s",
        categories=sp.csr_matrix(np.random.default_rng(1).uniform(-0.5, 1, (NUM_ITEMS, 4)).clip(0)),
        popular=sp.csr_matrix(np.random.default_rng(2).uniform(-0.5, 1, (4, NUM_ITEMS)).clip(0)),
        weights=WEIGHTS,
    ),
    "text": lambda: TextSource(name="s", vectors=centred_text(FEATURES.text), weights=WEIGHTS),
    "exact towers": lambda: two_tower(None),
    "flat index": lambda: two_tower("Flat"),
    "hnsw index": lambda: two_tower("HNSW8"),
    "repurchase": lambda: RepurchaseSource(name="s", replenishment=replenishment()),
}


@pytest.fixture(params=SOURCES, name="source")
def any_source(request: pytest.FixtureRequest) -> CandidateSource:
    return SOURCES[request.param]()


@pytest.fixture(name="query")
def any_query() -> Query:
    return random_query(7, NUM_USERS, NUM_ITEMS)


def test_scores_are_finite_float32_of_every_user_and_item(
    source: CandidateSource, query: Query
) -> None:
    scores = source.score(query)
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (NUM_USERS, NUM_ITEMS)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores[:-1].any(), "somebody with a history is told something"


def test_scores_are_the_same_each_time_and_the_question_stays(
    source: CandidateSource, query: Query
) -> None:
    histories = query.bought.item_idx.copy(), query.bought.sentiment.copy()
    first = source.score(query).copy()
    np.testing.assert_array_equal(source.score(query), first)
    np.testing.assert_array_equal(query.bought.item_idx, histories[0])
    np.testing.assert_array_equal(query.bought.sentiment, histories[1])


def test_callers_may_write_into_scores(source: CandidateSource, query: Query) -> None:
    scores = source.score(query)
    kept = scores.copy()
    scores[:] = -np.inf
    np.testing.assert_array_equal(source.score(query), kept)


def test_a_stranger_is_answered(source: CandidateSource) -> None:
    scores = source.score(Query.of_stranger())
    assert scores.shape == (1, NUM_ITEMS)
    assert np.isfinite(scores).all()


def test_one_user_is_scored_as_in_a_batch(source: CandidateSource, query: Query) -> None:
    batch = source.score(query)
    for b in range(NUM_USERS):
        alone = source.score(rows_of(query, np.array([b])))
        np.testing.assert_allclose(alone[0], batch[b], atol=1e-5)


def test_the_order_of_users_is_theirs(source: CandidateSource, query: Query) -> None:
    order = np.array([3, 5, 0])
    np.testing.assert_allclose(
        source.score(rows_of(query, order)), source.score(query)[order], atol=1e-5
    )


def test_fitted_sources_answer_a_world_of_questions(shop: FittedShop) -> None:
    query = shop.world.population.query(shop.world.asked)
    names = [source.name for source in shop.retrieval.sources]
    assert names == [
        "two_tower",
        "item_to_item",
        "next_item",
        "two_steps",
        "popular_recent",
        "popular_in_categories",
        "text",
        "linear",
        "browsed",
    ]
    for source in shop.retrieval.sources:
        scores = source.score(query)
        assert scores.shape == (len(shop.world.asked), len(shop.world.items))
        assert np.isfinite(scores).all()
        assert scores.any()


def test_neighbours_are_the_weighted_sum_of_table_rows(query: Query) -> None:
    table = co_visitation(INTERACTIONS, shrinkage=1.0, max_neighbours=5)
    weights = WEIGHTS.of(query.bought)
    wanted = np.zeros((NUM_USERS, NUM_ITEMS))
    for row, item, weight in zip(query.bought.row, query.bought.item_idx, weights, strict=True):
        wanted[row] += weight * table.toarray()[item]
    np.testing.assert_allclose(neighbours(table).score(query), wanted, atol=1e-5)


def test_the_last_thing_bought_says_its_row_of_the_table(query: Query) -> None:
    table = co_visitation(INTERACTIONS, shrinkage=1.0, max_neighbours=5)
    item_idx = np.tile(np.array([3, -1, 0]), (NUM_USERS, 1))
    found = neighbours(table).by_last(query, item_idx)
    for b in range(NUM_USERS):
        taken = query.bought.item_idx[query.bought.indptr[b] : query.bought.indptr[b + 1]]
        wanted = table.toarray()[taken[-1], [3, 0]] if len(taken) else [0, 0]
        assert found[b, [0, 2]].tolist() == pytest.approx(list(wanted))


def test_browsing_counts_the_item_itself_and_its_neighbours(query: Query) -> None:
    table = co_visitation(INTERACTIONS, shrinkage=1.0, max_neighbours=5)
    browsed = query.browsed
    wanted = np.zeros((NUM_USERS, NUM_ITEMS))
    for b in range(NUM_USERS):
        rows = range(browsed.indptr[b], browsed.indptr[b + 1])
        for age, row in enumerate(reversed(rows)):
            weight = np.log1p(browsed.sentiment[row]) * 0.9**age
            wanted[b] += weight * table.toarray()[browsed.item_idx[row]]
            wanted[b, browsed.item_idx[row]] += weight
    np.testing.assert_allclose(BrowseSource(name="s", table=table).score(query), wanted, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 3, 30])
@pytest.mark.parametrize("allowed", [None, np.arange(NUM_ITEMS) % 3 != 0])
def test_a_ranking_holds_the_best_that_may_be_offered(
    source: CandidateSource, query: Query, depth: int, allowed: np.ndarray | None
) -> None:
    asked = replace(query, allowed=allowed)
    scores = source.score(asked)
    ranking = source.rank(asked, depth)
    assert ranking.item_idx.shape == (NUM_USERS, depth)
    assert ranking.item_idx.dtype == np.int32
    for b in range(NUM_USERS):
        offered = np.ones(NUM_ITEMS, dtype=bool) if allowed is None else allowed.copy()
        if not isinstance(source, RepurchaseSource):
            taken = slice(query.bought.indptr[b], query.bought.indptr[b + 1])
            offered[query.bought.item_idx[taken]] = False
        # The score of the two-tower's worst item is 0 by definition, and yet it is ranked.
        says = offered & ((scores[b] > 0) | isinstance(source, TwoTowerSource))
        wanted = sorted(np.flatnonzero(says), key=lambda item: (-scores[b, item], item))[:depth]
        listed = ranking.item_idx[b]
        assert listed[listed >= 0].tolist() == listed[: len(wanted)].tolist(), "padding is last"
        assert listed[: len(wanted)].tolist() == wanted


def test_scores_of_items_are_in_the_order_of_scores(source: CandidateSource, query: Query) -> None:
    everything = np.tile(np.arange(NUM_ITEMS), (NUM_USERS, 1))
    found = source.rank(query, 4).score_of(everything)
    assert found.dtype == np.float32
    scores = source.score(query)
    for b in range(NUM_USERS):
        shift = (found[b] - found[b].max()) if isinstance(source, TwoTowerSource) else found[b]
        size = 1.0 if isinstance(source, TwoTowerSource) else max(abs(scores[b]).max(), 1e-9)
        least = scores[b].max() if isinstance(source, TwoTowerSource) else 0.0
        np.testing.assert_allclose(shift, (scores[b] - least) / size, rtol=1e-4, atol=1e-4)


def test_one_user_is_ranked_as_in_a_batch(source: CandidateSource, query: Query) -> None:
    batch = source.rank(query, 4).item_idx
    for b in range(NUM_USERS):
        alone = source.rank(rows_of(query, np.array([b])), 4).item_idx
        assert alone[0].tolist() == batch[b].tolist()


@pytest.mark.parametrize("num_allowed", [0, 1])
def test_hardly_anything_allowed(source: CandidateSource, num_allowed: int) -> None:
    asked = Query.of_stranger(np.arange(NUM_ITEMS) < num_allowed)
    listed = source.rank(asked, 5).item_idx
    assert set(listed.ravel().tolist()) <= {-1, *range(num_allowed)}


def test_a_strangers_profile_is_unknown() -> None:
    stranger = Query.of_stranger()
    assert len(stranger) == 1
    assert stranger.user.shape == (1, len(USER_COLUMNS))
    assert np.isnan(stranger.user).all()
