"""What adds up to a score, told of the trained ranker of the tiny shop."""

import dataclasses

import numpy as np
import pytest
from tiny_shop import CONFIG, FittedShop

from recsys.candidates import Candidates, fuse
from recsys.contributions import contributions
from recsys.feature_groups import GROUPS, group_of
from recsys.pair_features import feature_names, pair_features
from recsys.ranker import Ranker


def asked(shop: FittedShop, user: int) -> tuple[Candidates, np.ndarray]:
    """The candidates of a user and their features."""
    world = shop.world
    query = world.population.query(np.array([user]))
    candidates = fuse(query, shop.retrieval.sources, CONFIG.candidates)
    return candidates, pair_features(query, candidates, world.features, world.text)


def rankers(shop: FittedShop) -> list[Ranker]:
    """The fitted ranker under several blends, on both kinds of base."""
    ranker = shop.fitted.ranker
    return [
        dataclasses.replace(ranker, blend=blend, base=base)
        for blend in (0.0, 0.25, 1.0)
        for base in ("fused", "text")
    ]


def test_contributions_add_up_to_the_score(shop: FittedShop) -> None:
    for ranker in rankers(shop):
        for user in (0, 7, 33):
            candidates, features = asked(shop, user)
            scores = ranker.score(features, candidates)[0]
            places = np.flatnonzero(np.isfinite(scores))[::-1]
            told = contributions(ranker, features, candidates, places)
            total = told.start + told.base + told.features.sum(1)
            np.testing.assert_allclose(total, scores[places], atol=1e-5)
            by_group = told.by_group()
            assert tuple(by_group) == GROUPS
            np.testing.assert_allclose(told.start + sum(by_group.values()), total, atol=1e-9)


def test_what_the_trees_add_sums_to_their_raw_output(shop: FittedShop) -> None:
    ranker = shop.fitted.ranker
    _, features = asked(shop, 3)
    told = np.asarray(ranker.booster.predict(features[0], pred_contrib=True))
    assert told.shape == (features.shape[1], features.shape[2] + 1)
    np.testing.assert_allclose(told.sum(1), ranker.tree_scores(features[0]), atol=1e-9)


def test_a_feature_that_no_tree_asks_adds_nothing(shop: FittedShop) -> None:
    ranker = dataclasses.replace(shop.fitted.ranker, blend=1.0)
    candidates, features = asked(shop, 3)
    told = contributions(ranker, features, candidates, np.arange(5))
    unused = np.array(ranker.booster.feature_importance()) == 0
    assert unused.any()
    assert not unused.all()
    assert not told.features[:, unused].any()
    assert told.features[:, ~unused].any()
    assert not told.base.any()


def test_where_candidates_differ_in_one_feature_its_group_tells_them_apart(
    shop: FittedShop,
) -> None:
    ranker = dataclasses.replace(shop.fitted.ranker, blend=1.0)
    candidates, features = asked(shop, 3)
    importance = np.array(ranker.booster.feature_importance("gain"))
    column = int(importance.argmax())
    given = np.repeat(features[:, :1], features.shape[1], axis=1)
    given[0, :, column] = np.linspace(
        features[0, :, column].min() - 1, features[0, :, column].max() + 1, given.shape[1]
    )
    told = contributions(ranker, given, candidates, np.array([0, given.shape[1] - 1]))
    scores = ranker.score(given, candidates)[0]
    low, high = told.by_group()[group_of(ranker.feature_names[column])]
    assert abs(high - low) > 0.1
    assert (high - low) * (scores[-1] - scores[0]) > 0


def test_every_feature_has_a_group(shop: FittedShop) -> None:
    names = feature_names(tuple(source.name for source in shop.retrieval.sources))
    assert {group_of(name) for name in names} == set(GROUPS)
    with pytest.raises(KeyError):
        group_of("item:beauty")
    with pytest.raises(KeyError):
        group_of("score:oracle")


def test_no_items_have_no_contributions(shop: FittedShop) -> None:
    candidates, features = asked(shop, 3)
    told = contributions(shop.fitted.ranker, features, candidates, np.zeros(0, dtype=np.int64))
    assert told.features.shape == (0, features.shape[2])
    assert all(len(added) == 0 for added in told.by_group().values())


def test_wrong_questions_are_refused(shop: FittedShop) -> None:
    candidates, features = asked(shop, 3)
    padded = candidates.item_idx.copy()
    padded[0, -1] = -1
    with pytest.raises(ValueError, match="a place that is padding"):
        contributions(
            shop.fitted.ranker,
            features,
            dataclasses.replace(candidates, item_idx=padded),
            np.array([0, padded.shape[1] - 1]),
        )
    two = candidates.of_users(np.array([0, 0]))
    with pytest.raises(ValueError, match="one user at a time, not 2"):
        contributions(shop.fitted.ranker, np.repeat(features, 2, 0), two, np.array([0]))
