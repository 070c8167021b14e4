"""A log of known truth: shown by one feature, looked at from the top, wanted for another."""

import numpy as np
import pytest
from scipy.stats import rankdata

from recsys.errors import LogError
from recsys.logged_ranker import fit_logged_ranker
from recsys.ranker_config import RankerConfig

PLACES, NUM_LISTS = 10, 1500
NAMES = ["wanted", "shown_by", "noise"]
CONFIG = RankerConfig(min_data_in_leaf=50, num_threads=1)


def log(seed: int, num_lists: int = NUM_LISTS) -> tuple[np.ndarray, ...]:
    """Lists by a policy that knows nothing of what is wanted; looked at with chance 1 / place."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_lists, PLACES, 3)).astype(np.float32)
    policy = features[:, :, 1] + 0.5 * rng.normal(size=(num_lists, PLACES))
    place = 1 + np.argsort(np.argsort(-policy, axis=1), axis=1)
    wanted = 1 / (1 + np.exp(-2 * features[:, :, 0]))
    clicked = rng.random((num_lists, PLACES)) < wanted / place
    slate = np.repeat(np.arange(num_lists), PLACES)
    return features.reshape(-1, 3), clicked.ravel().astype(int), place.ravel(), slate


def nearness(seed: int, bias_regularization: float | None) -> float:
    """Rank correlation of a fitted ranker with the truth, on items that nobody showed."""
    booster = fit_logged_ranker(
        *log(seed),
        names=NAMES,
        config=CONFIG,
        num_trees=40,
        bias_regularization=bias_regularization,
    )
    fresh = np.random.default_rng(99).normal(size=(4000, 3)).astype(np.float32)
    told = np.asarray(booster.predict(fresh))
    return float(np.corrcoef(rankdata(told), rankdata(fresh[:, 0]))[0, 1])


def test_the_correction_brings_the_ranker_nearer_to_the_truth() -> None:
    gains = [nearness(seed, 0.0) - nearness(seed, None) for seed in range(5)]
    assert min(gains) > 0, "on every seed"
    assert np.mean(gains) > 0.05
    assert nearness(0, 0.0) > 0.8


def test_lists_that_tell_nothing_are_no_lessons() -> None:
    features, clicked, place, slate = log(0)
    with pytest.raises(LogError, match="0 lists tell rewarded items from others, wanted 50"):
        fit_logged_ranker(
            features, np.zeros_like(clicked), place, slate, names=NAMES, config=CONFIG, num_trees=5
        )
    with pytest.raises(LogError, match="places count from 1, not 0"):
        fit_logged_ranker(
            features, clicked, place - 1, slate, names=NAMES, config=CONFIG, num_trees=5
        )


def test_the_order_of_rows_does_not_matter() -> None:
    parts = log(1, 200)
    shuffled = np.random.default_rng(0).permutation(len(parts[0]))
    asked = parts[0][:50]

    def scores(*rows: np.ndarray) -> np.ndarray:
        booster = fit_logged_ranker(*rows, names=NAMES, config=CONFIG, num_trees=5)
        return np.asarray(booster.predict(asked))

    np.testing.assert_array_equal(scores(*parts), scores(*(part[shuffled] for part in parts)))
