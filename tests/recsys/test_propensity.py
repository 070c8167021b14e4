"""Propensities on data whose truth is known: order, calibration, folds of users."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from recsys.errors import NotEnoughDataError
from recsys.propensity import PropensityConfig, PropensityModel, feature_matrix, fit_propensity
from recsys.propensity_evaluation import auc_gain, outcome_figures

NAMES = ("told", "noise", "unknown")
CONFIG = PropensityConfig(max_trees=150)


def drawn(num: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, the true probability, the label."""
    rng = np.random.default_rng(seed)
    told = rng.normal(size=num)
    probability = 1 / (1 + np.exp(-(1.5 * told - 1.0)))
    features = np.column_stack([told, rng.normal(size=num), np.full(num, np.nan)])
    return features, probability, (rng.random(num) < probability).astype(int)


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    features, _, label = drawn(3000, seed=0)
    return fit_propensity(features, label, np.arange(3000), names=NAMES, config=CONFIG)


def test_probabilities_are_near_the_truth(model: PropensityModel) -> None:
    features, truth, label = drawn(4000, seed=1)
    told = model.predict(features)
    figures = outcome_figures(told, label, num_resamples=200)
    best = roc_auc_score(label, truth)
    assert figures.auc > best - 0.015
    assert figures.auc_low < figures.auc < figures.auc_high
    assert figures.calibration_error < 0.035
    assert figures.predicted_to_actual == pytest.approx(1.0, abs=0.06)
    assert figures.lift > 2
    assert np.abs(told - truth).mean() < 0.05
    assert next(iter(model.importance())) == "told"


def test_a_repeated_user_is_not_learned_by_heart() -> None:
    """A user's label is the same in all rows, and a feature names the user."""
    rng = np.random.default_rng(2)
    user = np.repeat(np.arange(300), 5)
    label = rng.integers(0, 2, 300)[user]
    features = user[:, None].astype(float)
    model = fit_propensity(features, label, user, names=("who",), config=CONFIG)
    assert np.abs(model.predict(features) - 0.5).max() < 0.2


def test_another_number_of_features_is_refused(model: PropensityModel) -> None:
    features, _, _ = drawn(50, seed=3)
    with pytest.raises(ValueError, match=r"features must be \(N, 3\)"):
        model.predict(features[:, :2])


def test_too_few_of_an_outcome_are_refused() -> None:
    features, _, label = drawn(240, seed=4)
    label[:] = 0
    label[:24] = 1
    user = np.r_[np.zeros(24, dtype=int), np.arange(1, 217)]
    with pytest.raises(NotEnoughDataError, match="there are 1 with and 216 without"):
        fit_propensity(features, label, user, names=NAMES, config=CONFIG)


def test_noise_never_turns_the_order_round() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        features, label = rng.normal(size=(300, 3)), (rng.random(300) < 0.3).astype(int)
        model = fit_propensity(features, label, np.arange(300), names=NAMES, config=CONFIG)
        assert model.slope >= 0
        assert model.predict(features).mean() == pytest.approx(label.mean(), abs=0.05)


def test_resampled_auc_counts_ties_half_and_a_gain_is_paired() -> None:
    rng = np.random.default_rng(5)
    label = rng.integers(0, 2, 500)
    score = np.round(label + rng.normal(size=500))
    figures = outcome_figures(1 / (1 + np.exp(-score)), label, num_resamples=300)
    assert figures.auc == pytest.approx(roc_auc_score(label, score))
    assert figures.auc_low < figures.auc < figures.auc_high
    same = auc_gain(score, score, label, num_resamples=50)
    assert same == (0.0, 0.0, 0.0)
    gain, low, high = auc_gain(score, rng.normal(size=500), label, num_resamples=300)
    assert 0.1 < low < gain < high


def test_unknown_values_are_not_a_number() -> None:
    profiles = pl.DataFrame({"a": [1, None], "b": [None, 0.5]})
    found = feature_matrix(profiles, ("b", "a"))
    np.testing.assert_array_equal(found, [[np.nan, 1.0], [0.5, np.nan]])


def test_a_config_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="num_folds must be within"):
        PropensityConfig(num_folds=1)
    with pytest.raises(ValueError, match="num_leaves starts at 2"):
        PropensityConfig(num_leaves=1)


def test_users_are_resampled_with_all_their_rows() -> None:
    rng = np.random.default_rng(6)
    label = rng.integers(0, 2, 200)
    score = label + 2 * rng.normal(size=200)
    alone = outcome_figures(1 / (1 + np.exp(-score)), label, num_resamples=300)
    four = np.tile(np.arange(200), 4)
    repeated = outcome_figures(
        np.tile(1 / (1 + np.exp(-score)), 4), np.tile(label, 4), four, num_resamples=300
    )
    widths = [figures.auc_high - figures.auc_low for figures in (alone, repeated)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_one_outcome_alone_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="both outcomes are needed"):
        outcome_figures(np.array([0.2, 0.3]), np.array([0, 0]))
