import numpy as np
import pytest

from recsys.flat_trees import FlatTrees
from recsys.lightgbm_alone import lgb

NUM_FEATURES = 6


def rows(num: int, seed: int, *, missing: bool) -> np.ndarray:
    """Values of few kinds, so that many lie right on a threshold; a column in three has gaps."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(num, NUM_FEATURES)).astype(np.float32)
    found[:, 1] = np.round(found[:, 1])
    found[:, 2] = rng.choice(np.array([-0.0, 0.0, 1e-36, 0.1, 3e38], dtype=np.float32), num)
    if missing:
        found[rng.random(num) < 0.3, 3] = np.nan
        found[rng.random(num) < 0.9, 4] = np.nan
    return found


def fitted(num_leaves: int, *, missing: bool = True, **parameters: object) -> lgb.Booster:
    told = rows(3000, 0, missing=missing)
    wanted = np.nan_to_num(told, nan=0.7, posinf=0).clip(-3, 3) @ np.array([1, 1, 2, -1, 2, 0])
    wanted += np.where(np.isnan(told[:, 4]), told[:, 0], -told[:, 1])
    defaults = {"num_leaves": num_leaves, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1}
    return lgb.train(defaults | parameters, lgb.Dataset(told, wanted), 40)


@pytest.mark.parametrize("num_leaves", [2, 3, 7, 8, 9, 15, 16])
@pytest.mark.parametrize("learned_missing", [True, False])
@pytest.mark.parametrize("asked_missing", [True, False])
@pytest.mark.parametrize("num_rows", [0, 1, 511, 1200])
def test_predictions_are_those_of_lightgbm_to_the_bit(
    num_leaves: int, learned_missing: bool, asked_missing: bool, num_rows: int
) -> None:
    booster = fitted(num_leaves, missing=learned_missing)
    trees = FlatTrees.of(booster)
    assert trees is not None
    asked = rows(num_rows, 1, missing=asked_missing)
    wanted = booster.predict(asked) if num_rows else np.zeros(0)
    np.testing.assert_array_equal(trees.predict(asked), wanted)


def test_a_model_read_back_from_text_is_the_same() -> None:
    booster = lgb.Booster(model_str=fitted(7).model_to_string())
    trees, asked = FlatTrees.of(booster), rows(300, 2, missing=True)
    assert trees is not None
    np.testing.assert_array_equal(trees.predict(asked), booster.predict(asked))


def test_rows_are_not_changed() -> None:
    trees, asked = FlatTrees.of(fitted(7)), rows(30, 3, missing=True)
    kept = asked.copy()
    assert trees is not None
    trees.predict(asked)
    np.testing.assert_array_equal(asked, kept)


def test_trees_without_a_split() -> None:
    told = rows(30, 0, missing=False)
    booster = lgb.train({"min_data_in_leaf": 100, "verbose": -1}, lgb.Dataset(told, np.ones(30)), 2)
    trees = FlatTrees.of(booster)
    assert trees is not None
    np.testing.assert_array_equal(trees.predict(told), booster.predict(told))


@pytest.mark.parametrize(
    ("num_leaves", "parameters", "categories"),
    [(17, {}, []), (7, {"zero_as_missing": True}, []), (7, {}, [1])],
    ids=["many leaves", "zero as missing", "categories"],
)
def test_what_cannot_be_flattened_is_told(
    num_leaves: int, parameters: dict[str, object], categories: list[int]
) -> None:
    told = rows(3000, 0, missing=False)
    told[:, 1] = np.abs(told[:, 1])
    wanted = told[:, 0] + np.where(told[:, 1] == 1, 3, -3) + told[:, 5]
    booster = lgb.train(
        {"num_leaves": num_leaves, "min_data_in_leaf": 5, "verbose": -1} | parameters,
        lgb.Dataset(told, wanted, categorical_feature=categories),
        20,
    )
    assert FlatTrees.of(booster) is None
