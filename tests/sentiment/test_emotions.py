import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.emotions import SHOP_EMOTIONS, shop_emotions, strengths

PROBABILITY = st.floats(0.01, 0.99)


def test_a_shop_emotion_is_as_strong_as_its_strongest_label() -> None:
    labels = ["anger", "annoyance", "gratitude", "neutral"]
    found = shop_emotions(np.array([[0.1, 0.4, 0.7, 0.9]]), labels)
    by_name = dict(zip(SHOP_EMOTIONS, found[0].tolist(), strict=True))
    assert by_name["anger"] == pytest.approx(0.4)
    assert by_name["joy"] == by_name["gratitude"] == pytest.approx(0.7)
    assert np.isnan([by_name[name] for name in ("sadness", "fear", "disgust", "surprise")]).all()


@given(PROBABILITY, PROBABILITY, PROBABILITY)
def test_strengths_keep_the_order_and_put_the_threshold_at_one_half(
    low: float, high: float, threshold: float
) -> None:
    low, high = sorted((low, high))
    at = np.array([threshold])
    a, b, middle = (float(strengths(np.array([[p]]), at)[0, 0]) for p in (low, high, threshold))
    assert a <= b + 1e-12
    assert middle == pytest.approx(0.5)
    assert 0 <= a <= 1
