import dataclasses

import numpy as np
import pytest

from recsys.candidates import Candidates
from recsys.errors import NotEnoughDataError
from recsys.flat_trees import FlatTrees
from recsys.grades import BOUGHT, DISLIKED, LOVED
from recsys.pair_features import feature_names
from recsys.ranker import MIN_USERS, Ranker, blended, fit_ranker
from recsys.ranker_config import SATISFACTION_COUNTS, RankerConfig

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
        last=np.zeros((num_users, K, 2), dtype=np.float32),
        sources=SOURCES,
    )
    return features, candidates, target


def fit_to(
    features: np.ndarray,
    candidates: Candidates,
    target: np.ndarray,
    config: RankerConfig = CONFIG,
    grade: int = BOUGHT,
) -> Ranker:
    """Fit to one item a user."""
    return fit_ranker(
        features,
        candidates,
        np.where(candidates.item_idx == target[:, None], grade, 0).astype(np.int8),
        num_targets=np.ones(len(target), dtype=np.int64),
        num_asked=len(target),
        names=NAMES,
        config=config,
    )


def fit(signal: bool, **shape: int) -> tuple[Ranker, np.ndarray, Candidates, np.ndarray]:
    features, candidates, target = planted(signal=signal, **shape)
    ranker = fit_to(features, candidates, target)
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
    ranker = fit_to(features, candidates, target)
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
    rankers = [fit_to(given, candidates, target) for given in (features, other)]
    assert rankers[0].validation == rankers[1].validation
    np.testing.assert_array_equal(
        rankers[0].score(features, candidates), rankers[1].score(other, candidates)
    )


def test_padding_does_not_outrank_the_target_when_the_base_is_chosen() -> None:
    features, candidates, _ = planted(signal=False, padding=3)
    target = candidates.item_idx[:, 2]
    # Without its padding, source b has every target first; the fused order has it third.
    candidates.rank[:, :, 1] = np.array([5, 6, 3, 7, 8, 9, 9, 0, 1, 2])
    ranker = fit_to(features, candidates, target)
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
        one = candidates.of_users(np.array([b]))
        np.testing.assert_allclose(ranker.score(features[b : b + 1], one)[0], batch[b], atol=1e-6)


def test_users_whose_target_was_not_retrieved_are_left_out() -> None:
    features, candidates, target = planted(signal=True)
    target = np.where(np.arange(NUM_USERS) % 2, 1000, target)
    ranker = fit_to(features, candidates, target)
    # Validation counts them as missed.
    assert 0.4 < ranker.validation["trees"] <= 0.5


def test_too_few_users_are_refused() -> None:
    features, candidates, target = planted(signal=True, num_users=MIN_USERS - 1)
    with pytest.raises(NotEnoughDataError, match=f"only {MIN_USERS - 1} users had their held-out"):
        fit_to(features, candidates, target)


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


def test_with_many_users_one_fold_is_enough_to_choose_by() -> None:
    features, candidates, target = planted(signal=True)
    config = dataclasses.replace(CONFIG, many_users=100, leaves_of_many=2)
    ranker = fit_to(features, candidates, target, config)
    assert ranker.validation["trees"] > 0.9
    assert num_leaves(ranker) == 2 < num_leaves(fit_to(features, candidates, target))


def num_leaves(ranker: Ranker) -> int:
    return max(tree["num_leaves"] for tree in ranker.booster.dump_model()["tree_info"])


def test_no_more_users_than_allowed_are_learned_from() -> None:
    features, candidates, target = planted(signal=True)
    config = dataclasses.replace(CONFIG, max_users=60)
    ranker = fit_to(features, candidates, target, config)
    learned = ranker.booster.dump_model()["tree_info"][0]["tree_structure"]["internal_count"]
    assert learned <= 60 * K


def test_what_satisfied_goes_before_what_was_disliked() -> None:
    features, candidates, _ = planted(signal=False)
    rng = np.random.default_rng(1)
    places = np.argsort(rng.random((NUM_USERS, K)), axis=1)[:, :2]
    grades = np.zeros((NUM_USERS, K), dtype=np.int8)
    rows = np.arange(NUM_USERS)
    grades[rows, places[:, 0]], grades[rows, places[:, 1]] = LOVED, DISLIKED

    def loved_first(gains: tuple[float, float, float], *, loved_by: int) -> float:
        given = features.copy()
        given[rows, places[:, 0], loved_by] += 6.0
        given[rows, places[:, 1], 1 - loved_by] += 6.0
        ranker = fit_ranker(
            given,
            candidates,
            grades,
            num_targets=np.full(NUM_USERS, 2),
            num_asked=NUM_USERS,
            names=NAMES,
            config=dataclasses.replace(CONFIG, gains=gains),
        )
        trees = ranker.booster.predict(given.reshape(-1, len(NAMES)))
        scores = np.asarray(trees).reshape(NUM_USERS, K)
        assert ranker.validation["trees"] > 0.9, "both are found"
        return float((scores[rows, places[:, 0]] > scores[rows, places[:, 1]]).mean())

    assert all(loved_first((0.1, 1.0, 2.0), loved_by=feature) > 0.95 for feature in (0, 1))
    # Of equals it is chance which of the two features the trees trust more.
    assert sum(loved_first((1.0, 1.0, 1.0), loved_by=feature) for feature in (0, 1)) < 1.3


@pytest.mark.parametrize("gains", [(-0.1, 1.0, 1.0), (1.0, 0.5, 2.0), (0.0, 2.0, 1.0)])
def test_gains_that_do_not_rise_are_refused(gains: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="gains must rise"):
        RankerConfig(gains=gains)


def wavy() -> tuple[np.ndarray, Candidates, np.ndarray]:
    """Items are taken the more, the nearer to 0 the second feature is: no straight way."""
    features, candidates, _ = planted(signal=False)
    place = np.abs(features[:, :, 1]).argmin(1)
    return features, candidates, candidates.item_idx[np.arange(NUM_USERS), place]


def steps_down(ranker: Ranker, features: np.ndarray, candidates: Candidates, way: int) -> float:
    """The largest fall of any score as the second feature of one candidate moves that way."""
    users = np.arange(40)
    asked, few = features[users].copy(), candidates.of_users(users)
    before, worst = None, 0.0
    for value in np.linspace(-3, 3, 25)[::way]:
        asked[:, 4, 1] = value
        trees = ranker.booster.predict(asked[:, 4])
        flat = FlatTrees.of(ranker.booster)
        assert flat is not None
        np.testing.assert_array_equal(flat.predict(asked[:, 4]), trees)
        now = np.stack([np.asarray(trees), ranker.score(asked, few)[:, 4]])
        if before is not None:
            worst = max(worst, float((before - now).max()))
        before = now
    return worst


@pytest.mark.parametrize("way", [1, -1])
def test_a_monotone_feature_never_moves_a_score_the_other_way(way: int) -> None:
    features, candidates, target = wavy()
    free = dataclasses.replace(fit_to(features, candidates, target), blend=0.5)
    assert steps_down(free, features, candidates, way) > 0.1, "else this test could not fail"
    config = dataclasses.replace(CONFIG, monotone={"noise:a": way})
    held = dataclasses.replace(fit_to(features, candidates, target, config), blend=0.5)
    assert np.ptp(np.asarray(held.booster.predict(features[:, 4]))) > 0, "it says something"
    assert steps_down(held, features, candidates, way) <= 1e-6


def test_a_monotone_ranker_still_learns_what_goes_its_way() -> None:
    features, candidates, target = planted(signal=True)
    config = dataclasses.replace(CONFIG, monotone={"signal": 1})
    assert fit_to(features, candidates, target, config).validation["trees"] > 0.9
    config = dataclasses.replace(CONFIG, monotone={"signal": -1})
    assert fit_to(features, candidates, target, config).validation["trees"] < 0.7


def test_what_cannot_be_monotone_is_refused() -> None:
    features, candidates, target = planted(signal=True)
    config = dataclasses.replace(CONFIG, monotone={"signal": 1, "item:beauty": 1})
    with pytest.raises(ValueError, match=r"no such features to be monotone in: \['item:beauty'\]"):
        fit_to(features, candidates, target, config)
    with pytest.raises(ValueError, match=r"up \(1\) or down \(-1\), not {'signal': 2}"):
        RankerConfig(monotone={"signal": 2})


def test_satisfaction_counts_in_features_that_exist() -> None:
    assert set(SATISFACTION_COUNTS) <= set(feature_names(()))
