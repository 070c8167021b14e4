"""Estimators of whole lists: by hand, and unbiased over all lists where they promise it."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from small_logs import drawn, rows

from recsys.off_policy import (
    OffPolicyConfig,
    build_log,
    evaluate_policy,
    table_policy,
    uniform_policy,
)
from recsys.off_policy.estimators import doubly_robust
from recsys.off_policy.log import Log
from recsys.off_policy.slates import SLATE_ESTIMATORS, cascade_weights, slate_estimates


def _log(items: str, propensity: list[float], click: list[float], lists: list[int]) -> Log:
    place = pl.Series(lists).rank("ordinal").cast(pl.Int64).to_list()
    return build_log(rows(items, propensity, click, list_id=lists, position=place), "click")


def test_values_by_hand() -> None:
    log = _log("abcab", [0.5] * 5, [1.0, 0.0, 1.0, 0.0, 1.0], [1, 1, 1, 2, 2])
    w = np.array([2.0, 0.5, 3.0, 1.0, 0.5])
    found = {name: slate.found.value for name, slate in slate_estimates(log, w).items()}
    assert found == pytest.approx(
        {
            "per_position_ips": (2.0 + 3.0 + 0.5) / 2,
            "slate_ips": (3.0 * 2 + 0.5 * 1) / 2,
            "reward_interaction_ips": (2.0 + 3.0 + 0.5) / 2,
            "pseudo_inverse": ((1 - 3 + 5.5) * 2 + (1 - 2 + 1.5) * 1) / 2,
        }
    )


def test_rows_may_come_in_any_order() -> None:
    log = _log("abcab", [0.5] * 5, [1.0, 0.0, 1.0, 0.0, 1.0], [1, 1, 1, 2, 2])
    w = np.array([2.0, 0.5, 3.0, 1.0, 0.5])
    order = np.array([4, 2, 0, 3, 1])
    frame = rows(
        "abcab",
        [0.5] * 5,
        [1.0, 0.0, 1.0, 0.0, 1.0],
        list_id=[1, 1, 1, 2, 2],
        position=[1, 2, 3, 4, 5],
    )
    mixed = build_log(frame[order.tolist()], "click")
    for name, slate in slate_estimates(mixed, w[order]).items():
        assert slate.found.value == pytest.approx(slate_estimates(log, w)[name].found.value)


LOGGING, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])


def _next(policy: np.ndarray, above: int) -> np.ndarray:
    left = np.where(np.arange(3) == above, 0.0, policy)
    return left / left.sum()


def _expected(name: str, rate, draw_second) -> tuple[float, float]:
    """Mean of an estimator over every list of two places, and the truth."""
    expected, truth = 0.0, 0.0
    for first, second in itertools.product(range(3), repeat=2):
        p1, p2 = LOGGING[first], draw_second(LOGGING, first)[second]
        t1, t2 = TARGET[first], draw_second(TARGET, first)[second]
        rates = rate(first, second)
        truth += t1 * t2 * sum(rates)
        if p1 * p2 == 0:
            continue
        for clicks in itertools.product((0.0, 1.0), repeat=2):
            chance = p1 * p2
            for click, value in zip(clicks, rates, strict=True):
                chance *= value if click else 1 - value
            log = build_log(
                rows("xy", [p1, p2], list(clicks), list_id=[0, 0], position=[1, 2]), "click"
            )
            found = slate_estimates(log, np.array([t1 / p1, t2 / p2]))[name].found
            expected += chance * found.value
    return expected, truth


ALONE = np.array([0.1, 0.5, 0.8])


def test_standard_ips_is_unbiased_whatever_happens_in_a_list() -> None:
    def both_ways(first: int, second: int) -> tuple[float, float]:
        return ALONE[first] * (1 - ALONE[second]), ALONE[second] * (1 - ALONE[first])

    expected, truth = _expected("slate_ips", both_ways, _next)
    assert expected == pytest.approx(truth)
    assert _expected("reward_interaction_ips", both_ways, _next)[0] != pytest.approx(truth)


def test_reward_interaction_ips_is_unbiased_where_users_read_downward() -> None:
    def downward(first: int, second: int) -> tuple[float, float]:
        return ALONE[first], ALONE[second] * (1 - ALONE[first])

    expected, truth = _expected("reward_interaction_ips", downward, _next)
    assert expected == pytest.approx(truth)
    assert _expected("per_position_ips", downward, _next)[0] != pytest.approx(truth)


@pytest.mark.parametrize("name", SLATE_ESTIMATORS)
def test_all_are_unbiased_where_places_are_independent(name: str) -> None:
    expected, truth = _expected(
        name, lambda first, second: (ALONE[first], 0.5 * ALONE[second]), lambda policy, _: policy
    )
    assert expected == pytest.approx(truth)


def test_lists_have_a_gate_of_their_own() -> None:
    # Two hundred lists of ten places, each filled by one of two items of its own.
    rng = np.random.default_rng(0)
    place, luck = np.tile(np.arange(10), 200), rng.random(2000) < 0.5
    frame = pl.DataFrame(
        {
            "item_id": [f"{p}{'xy'[int(lucky)]}" for p, lucky in zip(place, luck, strict=True)],
            "propensity": 0.5,
            "click": rng.integers(0, 2, 2000),
            "list_id": np.repeat(np.arange(200), 10),
            "position": place,
        }
    )
    log = build_log(frame, "click")
    table = pl.DataFrame(
        [
            {"item_id": f"{p}{kind}", "position": p, "probability": chance}
            for p in range(10)
            for kind, chance in (("x", 0.9), ("y", 0.1))
        ]
    )
    target = table_policy(log, table, name="mostly x")
    config = OffPolicyConfig(boosted=False, num_resamples=20, independent_places=True)
    found = evaluate_policy(log, target, config)
    assert "per_position_ips" in found.estimates
    assert "effective sample size is" in found.left_out["slate_ips"]
    refused = evaluate_policy(log, target, replace(config, estimator="slate_ips"))
    assert refused.estimates == {}
    assert "slate_ips cannot be had" in refused.reasons[0]


def test_logs_without_lists_have_none() -> None:
    log = build_log(drawn(500), "click")
    assert slate_estimates(log, np.ones(500)) == {}
    asked = OffPolicyConfig(boosted=False, num_resamples=20, estimator="slate_ips")
    assert "does not name lists" in evaluate_policy(log, uniform_policy(log), asked).reasons[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "best"}, "unknown estimator 'best'; known: replay, ipw"),
        ({"estimator": "dr_lightgbm", "boosted": False}, "needs a LightGBM model"),
        ({"switch_lambda": -1.0}, "switch_lambda is -1"),
        ({"shrinkage_lambda": float("nan")}, "shrinkage_lambda is nan"),
        ({"clip": 0.0}, "clip is 0"),
        ({"level": 1.0}, "level 1.0"),
    ],
)
def test_settings_are_checked(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OffPolicyConfig(**settings)


@pytest.mark.parametrize("expected_click", [0.0, 0.3, 0.9])
def test_dr_down_a_list_is_unbiased_where_users_read_downward(expected_click: float) -> None:
    estimated, truth = 0.0, 0.0
    for first, second in itertools.product(range(3), repeat=2):
        p1, p2 = LOGGING[first], _next(LOGGING, first)[second]
        t1, t2 = TARGET[first], _next(TARGET, first)[second]
        rates = (ALONE[first], ALONE[second] * (1 - ALONE[first]))
        truth += t1 * t2 * sum(rates) / 2
        if p1 * p2 == 0:
            continue
        for clicks in itertools.product((0.0, 1.0), repeat=2):
            chance = p1 * p2
            for click, rate in zip(clicks, rates, strict=True):
                chance *= rate if click else 1 - rate
            log = build_log(
                rows("xy", [p1, p2], list(clicks), list_id=[0, 0], position=[1, 2]), "click"
            )
            weights = cascade_weights(log, np.array([t1 / p1, t2 / p2]))
            assert weights.above.tolist() == [1.0, t1 / p1]
            q = np.full(2, expected_click)
            found = doubly_robust(log.reward, weights.weight, q, weights.above * q, (0.0, 1.0))
            estimated += chance * found.value
    assert estimated == pytest.approx(truth)
