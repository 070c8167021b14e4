import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sentiment.metrics import (
    best_thresholds,
    calibration_error,
    label_f1,
    macro_f1,
    neighbour_agreement,
    span_f1,
    two_class_accuracy,
)


def test_macro_f1_by_hand() -> None:
    predicted, actual = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    assert macro_f1(predicted, actual) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


@given(hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 2)))
def test_a_perfect_prediction_scores_one_for_every_class_there_is(actual: np.ndarray) -> None:
    assert macro_f1(actual, actual) == pytest.approx(len(np.unique(actual)) / 3)
    assert calibration_error(np.eye(3)[actual], actual) == 0.0
    assert two_class_accuracy(np.eye(3)[actual], actual == 2) == pytest.approx(1.0)


def test_calibration_error_by_hand() -> None:
    sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    actual = np.array([0, 0, 0, 1])
    assert calibration_error(sure, actual, 10) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_label_f1_and_thresholds_by_hand() -> None:
    probabilities = np.array([[0.9, 0.2], [0.4, 0.3], [0.1, 0.6]])
    actual = np.array([[True, False], [True, True], [False, True]])
    assert label_f1(probabilities >= 0.5, actual).tolist() == pytest.approx([2 / 3, 2 / 3])
    thresholds = best_thresholds(probabilities, actual)
    assert label_f1(probabilities >= thresholds, actual).tolist() == [1.0, 1.0]
    assert 0.1 < thresholds[0] <= 0.4
    assert 0.2 < thresholds[1] <= 0.3


def test_span_f1_by_hand() -> None:
    scores = span_f1([[(0, 2), (3, 4)], []], [[(0, 2)], [(1, 2)]])
    assert scores == pytest.approx({"precision": 0.5, "recall": 0.5, "f1": 0.5})
    assert span_f1([[]], [[]])["f1"] == 0.0


def test_neighbours_agree_with_themselves_and_not_with_noise() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 200, 16))
    assert neighbour_agreement(one, one) == 1.0
    assert neighbour_agreement(one, one[:, ::-1]) == 1.0
    assert neighbour_agreement(one, other) < 0.15
