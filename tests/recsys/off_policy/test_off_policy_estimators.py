"""Estimators against values by hand, all logs of a tiny space, and what they promise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import CLICK_RATE, by_hand, chances, drawn

from recsys.off_policy import (
    OffPolicyConfig,
    build_log,
    evaluate_policy,
    table_policy,
    uniform_policy,
)
from recsys.off_policy import estimators as est
from recsys.off_policy.reward_models import boosted_reward, mean_reward

CLICKS = (0.0, 1.0)


def test_values_by_hand() -> None:
    log = by_hand()
    target = uniform_policy(log)
    w, r = target.logged / log.propensity, log.reward
    assert w.tolist() == [1.0, 1.0, 2.0, 0.625]
    model = mean_reward(log, target)
    assert model.q.tolist() == model.v.tolist() == [0.5] * 4
    assert est.ipw(r, w, CLICKS).value == pytest.approx(3.0 / 4)
    assert est.snipw(r, w).value == pytest.approx(3.0 / 4.625)
    assert est.clipped_ipw(r, w, CLICKS, 1.5).value == pytest.approx(2.5 / 4)
    corrections = 0.5 - 0.5 + 1.0 - 0.3125
    assert est.direct_method(model.v, CLICKS).value == pytest.approx(0.5)
    dr = est.doubly_robust(r, w, model.q, model.v, CLICKS).value
    assert dr == pytest.approx(0.5 + corrections / 4)
    sndr = est.self_normalised_dr(r, w, model.q, model.v).value
    assert sndr == pytest.approx(0.5 + corrections / 4.625)
    switch = est.doubly_robust(r, est.switched(w, 1.0), model.q, model.v, CLICKS).value
    assert switch == pytest.approx(0.5 + (0.5 - 0.5 - 0.3125) / 4)
    shrunk = est.shrunk(w, 2.0)
    assert shrunk == pytest.approx(2 * w / (w**2 + 2))
    # Accepted with chances w / 2: at draws of 0.4 all but the last, at 0.6 the third alone.
    assert est.replay(r, w, np.full(4, 0.4)).value == pytest.approx(2 / 3)
    assert est.replay(r, w, np.full(4, 0.6)).value == 1.0


def test_replay_of_one_item_on_a_uniform_log_is_the_mean_of_its_rows() -> None:
    weight = np.array([0.0, 3.0, 0.0, 3.0])
    reward = np.array([1.0, 1.0, 1.0, 0.0])
    for seed in range(20):
        draws = np.random.default_rng(seed).random(4)
        assert est.replay(reward, weight, draws).value == 0.5


LOGGING = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
TARGET = np.array([[0.1, 0.1, 0.8], [0.6, 0.4, 0.0]])
RATE = np.array([[0.1, 0.5, 0.9], [0.7, 0.2, 0.4]])
CONTEXT = np.array([0.25, 0.75])
TRUTH = float((CONTEXT[:, None] * TARGET * RATE).sum())


def _expectation(estimate, propensity: np.ndarray = LOGGING) -> float:
    """The mean of an estimate over every log of two rows there can be, by their chances."""
    outcomes = [
        (x, a, r, CONTEXT[x] * LOGGING[x, a] * (RATE[x, a] if r else 1 - RATE[x, a]))
        for x, a, r in itertools.product(range(2), range(3), range(2))
    ]
    total = 0.0
    for pair in itertools.product(outcomes, repeat=2):
        x, a, r = (np.array([row[column] for row in pair]) for column in range(3))
        weight = TARGET[x, a] / propensity[x, a]
        total += pair[0][3] * pair[1][3] * estimate(x, a, r.astype(float), weight)
    return total


def test_ipw_is_unbiased_over_all_logs_of_a_tiny_space() -> None:
    found = _expectation(lambda x, a, r, w: est.ipw(r, w, CLICKS).value)
    assert found == pytest.approx(TRUTH, abs=1e-12)


@pytest.mark.parametrize("model", [RATE, np.full((2, 3), 0.5), 1 - RATE])
def test_dr_is_unbiased_with_any_model_where_the_weights_are_right(model: np.ndarray) -> None:
    def dr(x: np.ndarray, a: np.ndarray, r: np.ndarray, w: np.ndarray) -> float:
        v = (TARGET * model).sum(1)
        return est.doubly_robust(r, w, model[x, a], v[x], CLICKS).value

    assert _expectation(dr) == pytest.approx(TRUTH, abs=1e-12)


def test_dr_is_unbiased_with_any_weights_where_the_model_is_right() -> None:
    wrong = np.full((2, 3), 1 / 3)

    def dr(x: np.ndarray, a: np.ndarray, r: np.ndarray, w: np.ndarray) -> float:
        return est.doubly_robust(r, w, RATE[x, a], (TARGET * RATE).sum(1)[x], CLICKS).value

    assert _expectation(dr, wrong) == pytest.approx(TRUTH, abs=1e-12)


def test_dr_is_biased_where_both_are_wrong() -> None:
    model, wrong = 1 - RATE, np.full((2, 3), 1 / 3)

    def dr(x: np.ndarray, a: np.ndarray, r: np.ndarray, w: np.ndarray) -> float:
        return est.doubly_robust(r, w, model[x, a], (TARGET * model).sum(1)[x], CLICKS).value

    assert abs(_expectation(dr, wrong) - TRUTH) > 0.01


def test_lightgbm_finds_what_it_can_know() -> None:
    log = build_log(drawn(6000), "click")
    target = table_policy(log, chances(a=0.0, b=0.2, c=0.8), name="mostly c")
    model = boosted_reward(log, target, seed=1)
    rates = np.array([CLICK_RATE[item] for item in log.actions])
    assert np.abs(model.q - rates[log.action]).max() < 0.1
    assert model.v.mean() == pytest.approx(0.2 * 0.3 + 0.8 * 0.6, abs=0.03)


_rewards = st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1, 1)), min_size=5, max_size=40)
_NO_GATES = OffPolicyConfig(boosted=False, num_resamples=20)


@settings(deadline=None, max_examples=60)
@given(_rewards, st.lists(st.floats(0.05, 1.0), min_size=40, max_size=40))
def test_self_normalised_values_lie_in_the_range_of_rewards(
    seen: list[tuple[str, float]], propensity: list[float]
) -> None:
    reward = np.array([value for _, value in seen])
    weight = 1 / 3 / np.array(propensity[: len(seen)])
    found = est.snipw(reward, weight).value
    assert reward.min() - 1e-9 <= found <= reward.max() + 1e-9


@settings(deadline=None, max_examples=60)
@given(_rewards)
def test_all_agree_on_the_logging_policy_itself(seen: list[tuple[str, float]]) -> None:
    r = np.array([value for _, value in seen])
    w, q = np.ones(len(r)), np.full(len(r), r.mean())
    bounds = (-1.0, 1.0)
    found = [
        est.ipw(r, w, bounds),
        est.clipped_ipw(r, w, bounds, 1.0),
        est.snipw(r, w),
        est.direct_method(q, bounds),
        est.doubly_robust(r, w, q, q, bounds),
        est.self_normalised_dr(r, w, q, q),
        est.doubly_robust(r, est.switched(w, 2.0), q, q, bounds),
        est.doubly_robust(r, est.shrunk(w, 10.0), q, q, bounds),
        est.replay(r, w, np.full(len(r), 0.999)),
    ]
    assert [estimate.value for estimate in found] == pytest.approx([r.mean()] * 9, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(_rewards, st.lists(st.floats(0.05, 1.0), min_size=40, max_size=40), st.floats(-1, 1))
def test_shrinkage_and_switch_go_from_the_direct_method_to_dr(
    seen: list[tuple[str, float]], propensity: list[float], expected: float
) -> None:
    r = np.array([value for _, value in seen])
    w = 1 / 3 / np.array(propensity[: len(seen)])
    q, bounds = np.full(len(r), expected), (-1.0, 1.0)

    def of(weight: np.ndarray) -> float:
        return est.doubly_robust(r, weight, q, q, bounds).value

    dm, dr = est.direct_method(q, bounds).value, of(w)
    assert of(est.shrunk(w, 0.0)) == of(est.switched(w, 0.0)) == pytest.approx(dm)
    assert of(est.shrunk(w, 1e-12)) == pytest.approx(dm, abs=1e-6)
    assert of(est.shrunk(w, 1e15)) == pytest.approx(dr, abs=1e-6)
    assert of(est.switched(w, w.max())) == dr


def test_the_influence_of_a_row_is_what_leaving_it_out_does() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    found = est.self_normalised_dr(
        rng.random(n), rng.exponential(size=n), rng.random(n), rng.random(n)
    )
    without = est.Contributions(base=found.base[1:], gain=found.gain[1:], share=found.share[1:])
    assert n * (found.value - without.value) == pytest.approx(found.influence[0], rel=0.01)
    assert found.influence.sum() == pytest.approx(0.0, abs=1e-8)


def test_a_log_of_many_rows_tells_the_truth() -> None:
    log = build_log(drawn(20_000), "click")
    target = table_policy(log, chances(a=0.1, b=0.3, c=0.6), name="t")
    found = evaluate_policy(log, target, _NO_GATES)
    truth = 0.1 * 0.1 + 0.3 * 0.3 + 0.6 * 0.6
    for name in ("ipw", "snipw", "dr", "sndr", "replay"):
        estimate = found.estimates[name]
        assert abs(estimate.value - truth) < 4 * estimate.intervals.standard_error, name
