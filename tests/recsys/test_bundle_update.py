"""Items come and go between trainings: new ones are found, retired ones never, all else stays."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_shop import CONFIG, FittedShop

from recsys.bundle import load_bundle, write_bundle
from recsys.bundle_update import NewItems, with_new_items, without_items
from recsys.errors import BundleError
from recsys.item_tower import item_vectors
from recsys.query import Query
from recsys.recency import recent_popularity
from recsys.recommender import Recommender
from recsys.retrieval_index import IndexConfig, build_index

BRAND, CATEGORY = "a new brand", "a new category"


@pytest.fixture(scope="module")
def recommender(shop: FittedShop) -> Recommender:
    assert shop.fitted.recommender is not None
    return shop.fitted.recommender


def twins(recommender: Recommender, places: list[int]) -> NewItems:
    """New items that are like old ones but for their ids; the last is of a kind of its own."""
    profiles = recommender.item_profiles[places].with_columns(
        item_id=pl.format("new{}", pl.col("item_id"))
    )
    is_last = pl.int_range(pl.len()) == pl.len() - 1
    profiles = profiles.with_columns(
        brand=pl.when(is_last).then(pl.lit(BRAND)).otherwise("brand"),
        categories=pl.when(is_last).then(pl.lit(["all", CATEGORY])).otherwise("categories"),
    )
    assert recommender.text_centre is not None
    # So that the text as it is centred is that of the twin, up to its length.
    text = recommender.text[places] + recommender.text_centre
    return NewItems(
        profiles=profiles,
        text=text.astype(np.float32),
        recent=np.arange(len(places), dtype=np.float32),
    )


def questions(shop: FittedShop, allowed: np.ndarray | None = None) -> list[Query]:
    world = shop.fitted.world
    assert world is not None
    users = [world.population.query(np.array([user]), allowed) for user in range(0, 80, 9)]
    return [*users, Query.of_stranger(allowed)]


def test_the_item_tower_in_numpy_is_the_trained_one(
    shop: FittedShop, recommender: Recommender
) -> None:
    towers, world = recommender.towers, shop.fitted.world
    assert towers.item is not None
    assert world is not None
    everything = np.arange(len(recommender.items))
    recent = recent_popularity(world.population.bought)
    found = item_vectors(everything, recommender.features, recent, towers.item, towers.query)
    np.testing.assert_allclose(found, towers.item_vectors, atol=1e-5)


def test_what_was_there_is_ranked_as_before(shop: FittedShop, recommender: Recommender) -> None:
    grown = with_new_items(recommender, twins(recommender, [0, 1, 2]))
    num = len(recommender.items)
    assert grown.items.ids[:num].tolist() == recommender.items.ids.tolist()
    old = np.ones(num, dtype=bool)
    for before, now in zip(questions(shop, old), questions(shop, np.pad(old, (0, 3))), strict=True):
        ours, theirs = recommender.recommend(before, 10), grown.recommend(now, 10)
        assert theirs.item_idx.tolist() == ours.item_idx.tolist()
        np.testing.assert_array_equal(theirs.score, ours.score)


def test_a_new_item_is_found_by_its_tower_and_its_text(
    shop: FittedShop, recommender: Recommender
) -> None:
    grown = with_new_items(recommender, twins(recommender, [3, 4, 7]))
    new = np.arange(len(recommender.items), len(grown.items))
    found = {source.name: set() for source in grown.sources}
    for query in questions(shop):
        for source in grown.sources:
            ranked = source.rank(query, 30).item_idx
            found[source.name] |= set(ranked[np.isin(ranked, new)].tolist())
    assert found["two_tower"] == set(new.tolist())
    assert found["text"] == set(new.tolist())
    assert found["popular_recent"] == set(new[1:].tolist()), "the first was not bought yet"
    assert not found["item_to_item"], "no neighbour table knows an item that nobody bought"
    listed = [set(grown.recommend(query, 20).item_idx.tolist()) for query in questions(shop)]
    assert set(new.tolist()) & set.union(*listed)


def test_brands_and_categories_that_are_new_have_places_of_their_own(
    recommender: Recommender,
) -> None:
    grown = with_new_items(recommender, twins(recommender, [3, 4, 7]))
    old, features = recommender.features, grown.features
    num = len(recommender.items)
    assert features.num_brands == old.num_brands + 1
    assert features.num_categories == old.num_categories + 1
    assert features.brand_idx[num : num + 2].tolist() == old.brand_idx[[3, 4]].tolist()
    assert features.brand_idx[-1] == old.num_brands
    ends = features.category_indptr
    kinds = features.category_idx[ends[-2] : ends[-1]].tolist()
    assert kinds == [old.category_idx[0], old.num_categories]
    np.testing.assert_array_equal(features.category_rarity[:-1], old.category_rarity)
    assert features.category_rarity[-1] == pytest.approx(np.log(len(grown.items)))
    assert not grown.towers.query.brand_table[-1].any()
    assert not grown.towers.query.category_table[-1].any()


def test_a_changed_bundle_is_written_and_read_whole(
    shop: FittedShop, recommender: Recommender, tmp_path: Path
) -> None:
    grown = without_items(with_new_items(recommender, twins(recommender, [5, 6])), ["i00", "i09"])
    folder = tmp_path / "v2"
    write_bundle(folder, grown, created_at="", metrics={}, data={}, code={})
    loaded, _ = load_bundle(folder)
    for query in questions(shop):
        ours, theirs = grown.recommend(query, 12), loaded.recommend(query, 12)
        assert theirs.item_idx.tolist() == ours.item_idx.tolist()
        assert theirs.score.tolist() == ours.score.tolist()
    again = with_new_items(loaded, twins(loaded, [8]))
    assert again.retired is not None
    assert np.flatnonzero(again.retired).tolist() == [0, 9]


def test_a_retired_item_is_never_offered_and_still_speaks(
    shop: FittedShop, recommender: Recommender
) -> None:
    gone = ["i01", "i17", "i22"]
    places = recommender.items.index(gone)
    left = without_items(recommender, gone)
    allowed = np.ones(len(recommender.items), dtype=bool)
    allowed[places] = False
    for query, without in zip(questions(shop), questions(shop, allowed), strict=True):
        found = left.recommend(query, 30)
        assert not np.isin(found.item_idx, places).any()
        wanted = recommender.recommend(without, 30)
        assert found.item_idx.tolist() == wanted.item_idx.tolist(), "histories say what they said"
    assert (left.shelf().factor[places] == 0).all()
    assert (recommender.shelf().factor == 1).all()


def test_what_cannot_be_done_is_refused(recommender: Recommender) -> None:
    with pytest.raises(BundleError, match="not in the bundle, such as 'nobody'"):
        without_items(recommender, ["i00", "nobody"])
    with pytest.raises(BundleError, match="no item would be left"):
        without_items(recommender, recommender.items.ids.tolist())
    new = twins(recommender, [0])
    with pytest.raises(BundleError, match="train again"):
        with_new_items(dataclasses.replace(recommender, text_centre=None), new)
    with pytest.raises(BundleError, match="other columns"):
        with_new_items(
            recommender, dataclasses.replace(new, profiles=new.profiles.drop("price_cents"))
        )
    known = dataclasses.replace(new, profiles=recommender.item_profiles[[0]])
    with pytest.raises(BundleError, match="'i00' is in the bundle"):
        with_new_items(recommender, known)
    with pytest.raises(BundleError, match="of another model"):
        with_new_items(recommender, dataclasses.replace(new, text=new.text[:, :7]))


def test_an_index_that_finds_too_little_is_refused(recommender: Recommender) -> None:
    coarse = IndexConfig(factory="IVF16,Flat", min_recall=0.0)
    index = build_index(recommender.towers.item_vectors, coarse)
    strict = dataclasses.replace(CONFIG, index=dataclasses.replace(coarse, min_recall=1.0))
    poor = dataclasses.replace(recommender, index=index, config=strict)
    with pytest.raises(ValueError, match="of the exact top 100, wanted 1"):
        with_new_items(poor, twins(recommender, [0, 1]))
    assert poor.index.ntotal == len(recommender.items), "the old index is as it was"
