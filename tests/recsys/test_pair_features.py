from dataclasses import replace

import numpy as np
import pytest
from tiny_shop import FittedShop, random_features, random_query, rows_of

from recsys.candidates import Candidates, fuse
from recsys.interactions import Histories
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.pair_features import MAX_HISTORY, feature_names, pair_features
from recsys.query import USER_COLUMNS, Query

SOURCES = ("a", "b")
NAMES = feature_names(SOURCES)


def candidates_of(item_idx: np.ndarray, seed: int = 0) -> Candidates:
    rng = np.random.default_rng(seed)
    shape = (*item_idx.shape, len(SOURCES))
    return Candidates(
        item_idx=item_idx.astype(np.int32),
        fused=rng.random(item_idx.shape).astype(np.float32),
        score=rng.random(shape).astype(np.float32),
        rank=rng.integers(0, 9, shape).astype(np.int32),
        last=rng.random(shape).astype(np.float32),
        sources=SOURCES,
    )


def history(*rows: tuple[int, float]) -> Histories:
    return Histories(
        indptr=np.array([0, len(rows)]),
        item_idx=np.array([item for item, _ in rows], dtype=np.int32),
        event_time=np.arange(len(rows)),
        sentiment=np.array([value for _, value in rows], dtype=np.float32),
    )


def test_names_match_the_width() -> None:
    query, items = random_query(1), random_features(1)
    found = pair_features(query, candidates_of(np.tile(np.arange(4), (6, 1))), items, items.text)
    assert found.shape == (6, 4, len(NAMES))
    assert found.dtype == np.float32
    assert len(set(NAMES)) == len(NAMES)


def test_text_of_another_catalogue_is_refused() -> None:
    query, items = random_query(1), random_features(1)
    with pytest.raises(ValueError, match=r"text vectors of 3 items, wanted \d+"):
        pair_features(query, candidates_of(np.zeros((6, 4))), items, items.text[:3])


def test_one_request_equals_its_row_of_a_batch() -> None:
    query, items = random_query(2), random_features(2)
    rng = np.random.default_rng(0)
    candidates = candidates_of(np.stack([rng.permutation(12)[:7] for _ in range(6)]))
    batch = pair_features(query, candidates, items, items.text)
    for b in range(6):
        one = np.array([b])
        alone = pair_features(rows_of(query, one), candidates.of_users(one), items, items.text)
        np.testing.assert_allclose(alone[0], batch[b], atol=1e-6)


def test_one_request_to_the_fitted_shop_equals_its_row_of_a_batch(shop: FittedShop) -> None:
    world, config = shop.world, shop.fitted.recommender
    assert config is not None
    users = world.asked[:10]

    def features(asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        query = world.population.query(asked)
        candidates = fuse(query, shop.retrieval.sources, config.config.candidates)
        return candidates.item_idx, pair_features(query, candidates, world.features, world.text)

    listed, batch = features(users)
    for b, user in enumerate(users):
        alone_listed, alone = features(np.array([user]))
        assert alone_listed[0].tolist() == listed[b].tolist()
        # Matrix products of one row and of many differ in the last bits.
        np.testing.assert_allclose(alone[0], batch[b], atol=1e-5)


# Items 0..3: the text of 0 and 1 is alike, 2 is orthogonal, 3 has none.
ITEMS = ItemFeatures(
    dense=np.arange(4 * len(DENSE_COLUMNS), dtype=np.float32).reshape(4, -1) / 10,
    text=np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 0]], dtype=np.float32),
    category_indptr=np.array([0, 2, 3, 4, 4]),
    category_idx=np.array([0, 1, 1, 2], dtype=np.int32),
    num_categories=3,
    brand_idx=np.array([1, 1, 2, 0], dtype=np.int32),
    num_brands=3,
)
PRICE = list(DENSE_COLUMNS).index("price_cents")


def by_hand(bought: Histories, browsed: Histories, items: list[int]) -> dict[str, list[float]]:
    query = Query(
        bought=bought, browsed=browsed, user=np.full((1, len(USER_COLUMNS)), 7, dtype=np.float32)
    )
    found = pair_features(query, candidates_of(np.array([items])), ITEMS, ITEMS.text)
    return {name: found[0, :, place].tolist() for place, name in enumerate(NAMES)}


def test_pair_features_by_hand() -> None:
    # Bought 0 (disliked) and 2 (no review); asked about 1 and 3.
    found = by_hand(history((0, -0.5), (2, np.nan)), history((3, 1.0), (1, 3.0)), [1, 3])
    price = ITEMS.dense[:, PRICE]
    mean_price = (price[0] + price[2]) / 2
    wanted = {
        "pair:text_max": [0.8, 0.0],
        "pair:text_mean": [0.7, 0.0],
        "pair:felt_text": [-0.5 * 0.64 / (0.64 + 0.36 + 0.1), 0.0],
        "pair:category_share": [0.5, 0.0],
        "pair:felt_category": [-0.5 / 2, 0.0],
        # Item 1 shares a category that two of four items have with 0, and none with the last.
        "pair:kin_of_last": [0.0, 0.0],
        "pair:kin_of_recent": [0.8 * np.log(2), 0.0],
        "pair:brand_share": [0.5, 0.0],
        "pair:felt_brand": [-0.5 / 2, 0.0],
        "pair:price_gap": [price[1] - mean_price, price[3] - mean_price],
        "pair:browse_strength": [np.log1p(3.0), np.log1p(1.0)],
        "pair:browse_recency": [1.0, 0.5],
        "user:history_length": [np.log1p(2)] * 2,
        "user:num_views": [7.0, 7.0],
        "item:price_cents": [price[1], price[3]],
    }
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, abs=1e-6), name


def test_rare_categories_of_the_last_purchase() -> None:
    found = by_hand(history((2, np.nan), (0, np.nan)), Histories.empty(1), [1, 0, 3])
    assert found["pair:kin_of_last"] == pytest.approx([np.log(2), np.log(2) + np.log(4), 0.0])


def test_a_stranger_shares_nothing_with_any_item() -> None:
    found = by_hand(Histories.empty(1), Histories.empty(1), [0, 1, 2, 3])
    assert all(not any(found[name]) for name in NAMES if name.startswith("pair:"))


def test_what_sources_said_is_passed_on() -> None:
    candidates = candidates_of(np.array([[2, 0]]))
    query = Query(
        bought=history((1, 0.5)),
        browsed=Histories.empty(1),
        user=np.zeros((1, len(USER_COLUMNS)), dtype=np.float32),
    )
    found = pair_features(query, candidates, ITEMS, ITEMS.text)[0]
    np.testing.assert_allclose(found[:, NAMES.index("score:b")], candidates.score[0, :, 1])
    np.testing.assert_allclose(
        found[:, NAMES.index("log_rank:a")], np.log1p(candidates.rank[0, :, 0]), rtol=1e-6
    )
    np.testing.assert_allclose(found[:, NAMES.index("last:a")], candidates.last[0, :, 0])
    np.testing.assert_allclose(found[:, NAMES.index("fused")], candidates.fused[0])


def test_only_the_last_rows_of_a_long_history_are_read() -> None:
    long = history((0, 1.0), *[(2, -1.0)] * MAX_HISTORY)
    short = history(*[(2, -1.0)] * MAX_HISTORY)
    read = [by_hand(bought, Histories.empty(1), [0, 1]) for bought in (long, short)]
    pairs = [{n: v for n, v in found.items() if n.startswith("pair:")} for found in read]
    assert pairs[0] == pairs[1]


def test_items_without_categories_or_brands() -> None:
    bare = replace(
        ITEMS,
        category_indptr=np.zeros(5, dtype=np.int64),
        category_idx=np.zeros(0, dtype=np.int32),
        num_categories=1,
        brand_idx=np.zeros(4, dtype=np.int32),
    )
    query = Query(
        bought=history((1, 0.5)),
        browsed=Histories.empty(1),
        user=np.zeros((1, len(USER_COLUMNS)), dtype=np.float32),
    )
    found = pair_features(query, candidates_of(np.array([[0, 3]])), bare, bare.text)[0]
    for name in ("category_share", "felt_category", "kin_of_last", "kin_of_recent", "brand_share"):
        assert not found[:, NAMES.index(f"pair:{name}")].any()
