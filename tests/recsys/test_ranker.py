import numpy as np
import pytest

from recsys.candidates import Candidates
from recsys.errors import NotEnoughDataError
from recsys.ranker import MIN_USERS, Ranker, RankerConfig, blended, fit_ranker

NUM_USERS, K = 200, 10
CONFIG = RankerConfig(num_trees=(5, 20), min_data_in_leaf=10, num_threads=1)
NAMES = ["signal", "noise:a", "noise:b"]
SOURCES = ("a", "b")


def planted(*, signal: bool, num_users: int = NUM_USERS, padding: int = 0) -> tuple:
    """Candidates in which the target stands first (in the fused order), or wherever signal is."""
    rng = np.random.default_rng(0)
    item_idx = np.stack([rng.permutation(100)[:K] for _ in range(num_users)]).astype(np.int32)
    fused = np.tile(1.0 / (10.0 + np.arange(K)), (num_users, 1)).astype(np.float32)
    place = rng.integers(0, K - padding, num_users) if signal else np.zeros(num_users, dtype=int)
    target = item_idx[np.arange(num_users), place]
    features = rng.normal(size=(num_users, K, len(NAMES))).astype(np.float32)
    if signal:
        features[np.arange(num_users), place, 0] += 6.0
    if padding:
        item_idx[:, -padding:] = -1
        fused[:, -padding:] = 0.0
    candidates = Candidates(
        item_idx=item_idx,
        fused=fused,
        score=np.zeros((num_users, K, 2), dtype=np.float32),
        rank=np.tile(np.arange(K)[::-1, None], (num_users, 1, 2)).astype(np.int32),
        sources=SOURCES,
    )
    return features, candidates, target


def fit(signal: bool, **shape: int) -> tuple[Ranker, np.ndarray, Candidates, np.ndarray]:
    features, candidates, target = planted(signal=signal, **shape)
    ranker = fit_ranker(features, candidates, target, names=NAMES, config=CONFIG)
    return ranker, features, candidates, target


def hits(scores: np.ndarray, candidates: Candidates, target: np.ndarray) -> float:
    best = candidates.item_idx[np.arange(len(target)), scores.argmax(1)]
    return float((best == target).mean())


@pytest.fixture(scope="module")
def learned() -> tuple[Ranker, np.ndarray, Candidates, np.ndarray]:
    return fit(signal=True)


def test_a_planted_signal_is_learned(learned) -> None:
    ranker, features, candidates, target = learned
    assert ranker.blend > 0
    assert ranker.validation["trees"] > 0.9
    assert ranker.validation["blend"] >= max(ranker.validation["trees"], ranker.validation["base"])
    assert hits(ranker.score(features, candidates), candidates, target) > 0.9
    assert hits(candidates.fused, candidates, target) < 0.3


def test_useless_trees_leave_the_base_order_exactly() -> None:
    ranker, features, candidates, _ = fit(signal=False)
    assert (ranker.base, ranker.blend) == ("fused", 0.0)
    scores = ranker.score(features, candidates)
    np.testing.assert_array_equal(scores, candidates.fused)
    assert scores.dtype == np.float32
    assert ranker.validation["blend"] == ranker.validation["base"] == 1.0


def test_a_source_that_beats_the_fused_order_is_the_base() -> None:
    features, candidates, _ = planted(signal=False)
    candidates.rank[:, :, 0] = np.roll(np.arange(K), 3)
    target = candidates.item_idx[:, 3]
    ranker = fit_ranker(features, candidates, target, names=NAMES, config=CONFIG)
    assert (ranker.base, ranker.blend) == ("a", 0.0)
    assert hits(ranker.score(features, candidates), candidates, target) == 1.0


def test_padding_is_last() -> None:
    ranker, features, candidates, target = fit(signal=True, padding=3)
    scores = ranker.score(features, candidates)
    assert np.isneginf(scores[:, -3:]).all()
    assert np.isfinite(scores[:, :-3]).all()
    assert hits(scores, candidates, target) > 0.9


def test_what_stands_in_padded_rows_teaches_nothing() -> None:
    features, candidates, target = planted(signal=True, padding=3)
    other = features.copy()
    other[:, -3:] = 6.0
    rankers = [
        fit_ranker(given, candidates, target, names=NAMES, config=CONFIG)
        for given in (features, other)
    ]
    assert rankers[0].validation == rankers[1].validation
    np.testing.assert_array_equal(
        rankers[0].score(features, candidates), rankers[1].score(other, candidates)
    )


def test_padding_does_not_outrank_the_target_when_the_base_is_chosen() -> None:
    features, candidates, _ = planted(signal=False, padding=3)
    target = candidates.item_idx[:, 2]
    # Without its padding, source b has every target first; the fused order has it third.
    candidates.rank[:, :, 1] = np.array([5, 6, 3, 7, 8, 9, 9, 0, 1, 2])
    ranker = fit_ranker(features, candidates, target, names=NAMES, config=CONFIG)
    assert (ranker.base, ranker.validation["base"]) == ("b", 1.0)


def test_a_fit_repeats_itself(learned) -> None:
    ranker, features, candidates, _ = learned
    again, *_ = fit(signal=True)
    np.testing.assert_array_equal(
        again.score(features, candidates), ranker.score(features, candidates)
    )


def test_one_user_is_scored_as_in_a_batch(learned) -> None:
    ranker, features, candidates, _ = learned
    batch = ranker.score(features, candidates)
    for b in (0, 7):
        one = Candidates(
            item_idx=candidates.item_idx[b : b + 1],
            fused=candidates.fused[b : b + 1],
            score=candidates.score[b : b + 1],
            rank=candidates.rank[b : b + 1],
            sources=SOURCES,
        )
        np.testing.assert_allclose(ranker.score(features[b : b + 1], one)[0], batch[b], atol=1e-6)


def test_users_whose_target_was_not_retrieved_are_left_out() -> None:
    features, candidates, target = planted(signal=True)
    target = np.where(np.arange(NUM_USERS) % 2, 1000, target)
    ranker = fit_ranker(features, candidates, target, names=NAMES, config=CONFIG)
    # Validation counts them as missed.
    assert 0.4 < ranker.validation["trees"] <= 0.5


def test_too_few_users_are_refused() -> None:
    features, candidates, target = planted(signal=True, num_users=MIN_USERS - 1)
    with pytest.raises(NotEnoughDataError, match=f"only {MIN_USERS - 1} users had their held-out"):
        fit_ranker(features, candidates, target, names=NAMES, config=CONFIG)


def test_a_blend_is_the_mix_of_standardised_scores() -> None:
    trees = np.array([[1.0, 3.0, 99.0]])
    base = np.array([[4.0, 2.0, 99.0]])
    item_idx = np.array([[5, 6, -1]])
    for blend in (0.0, 0.25, 1.0):
        wanted = [-blend + (1 - blend), blend - (1 - blend), -np.inf]
        assert blended(trees, base, item_idx, blend).tolist() == [pytest.approx(wanted)]


def test_scores_that_are_all_equal_stay_finite() -> None:
    same = np.ones((1, 3))
    assert blended(same, same, np.array([[1, 2, 3]]), 0.5).tolist() == [[0.0, 0.0, 0.0]]
