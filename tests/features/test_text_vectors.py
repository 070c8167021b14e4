import numpy as np
import polars as pl
import pytest
from rows import day, events, reviews, signals

from features.text_vectors import centred_text, item_text_vectors
from features.visibility import everything
from sentiment.schema import EMBEDDING_DIM

REVIEWS = reviews(
    {"review_id": "r0", "user_id": "u", "item_id": "a", "day": 1},
    {"review_id": "r1", "user_id": "v", "item_id": "a", "day": 1},
    {"review_id": "r2", "user_id": "v", "item_id": "b", "day": 1},
    {"review_id": "r3", "user_id": "v", "item_id": "c", "day": 1},
    {"review_id": "late", "user_id": "v", "item_id": "b", "day": 9},
)
VISIBLE = everything(events(), REVIEWS, as_of=day(5))
# Axes 0..4 in this order.
SIGNALS = signals(dict.fromkeys(["r0", "r1", "r2", "r3", "late"], 0.5), {"r3": "zh"})


def texts(vectors: dict[str, tuple[str, int]]) -> pl.LazyFrame:
    axes = np.eye(EMBEDDING_DIM, dtype=np.float32)
    return pl.LazyFrame(
        {
            "item_id": list(vectors),
            "language": [language for language, _ in vectors.values()],
            "embedding": pl.Series(
                np.stack([axes[axis] for _, axis in vectors.values()]),
                dtype=pl.Array(pl.Float32, EMBEDDING_DIM),
            ),
        }
    )


def nonzero(row: np.ndarray) -> dict[int, float]:
    return {int(axis): float(row[axis]) for axis in np.flatnonzero(row)}


def test_mean_of_visible_reviews_in_the_commonest_language() -> None:
    vectors = item_text_vectors(["b", "a", "c", "d"], VISIBLE, SIGNALS.lazy(), None)
    assert vectors.shape == (4, EMBEDDING_DIM)
    assert vectors.dtype == np.float32
    assert nonzero(vectors[0]) == {2: 1.0}
    assert nonzero(vectors[1]) == pytest.approx({0: 0.5**0.5, 1: 0.5**0.5})
    assert nonzero(vectors[2]) == nonzero(vectors[3]) == {}


def test_titles_and_descriptions_weigh_as_much_as_all_reviews() -> None:
    described = texts({"a": ("en", 9), "d": ("en", 8), "c": ("zh", 7)})
    vectors = item_text_vectors(["a", "c", "d"], VISIBLE, SIGNALS.lazy(), described)
    length = 1.5**0.5
    assert nonzero(vectors[0]) == pytest.approx({0: 0.5 / length, 1: 0.5 / length, 9: 1 / length})
    assert nonzero(vectors[1]) == {}
    assert nonzero(vectors[2]) == {8: 1.0}


def test_without_reviews_descriptions_stand_alone() -> None:
    nobody = everything(events(), reviews(), as_of=day(5))
    vectors = item_text_vectors(["a"], nobody, signals({}).lazy(), texts({"a": ("fr", 3)}))
    assert nonzero(vectors[0]) == {3: 1.0}


def test_of_equally_common_languages_the_first_in_the_alphabet_counts() -> None:
    felt = signals(dict.fromkeys(["r0", "r1", "r2", "r3"], 0.5), {"r2": "zh", "r3": "zh"})
    vectors = item_text_vectors(["a", "b", "c"], VISIBLE, felt.lazy(), None)
    assert vectors.any(axis=1).tolist() == [True, False, False]


def test_centred_text_has_no_common_direction() -> None:
    vectors = np.abs(np.random.default_rng(0).normal(size=(6, 4))).astype(np.float32)
    vectors[2] = 0.0
    centred = centred_text(vectors)
    known = np.arange(6) != 2
    np.testing.assert_allclose(np.linalg.norm(centred[known], axis=1), 1.0, atol=1e-6)
    assert not centred[2].any()
    wanted = vectors[known] - vectors[known].mean(0)
    cosine = (centred[known] * wanted).sum(1) / np.linalg.norm(wanted, axis=1)
    np.testing.assert_allclose(cosine, 1.0, atol=1e-6)
    assert not centred_text(np.zeros((3, 4), dtype=np.float32)).any()
