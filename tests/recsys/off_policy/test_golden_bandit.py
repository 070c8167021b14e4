"""Reference values on the Open Bandit sample, which Open Bandit Pipeline agrees with."""

from pathlib import Path

import numpy as np
import pytest

from recsys.off_policy import (
    ESTIMATED,
    OffPolicyConfig,
    OffPolicyReport,
    build_log,
    evaluate_policy,
    read_log_rows,
    uniform_policy,
)

DATA = Path(__file__).parents[4] / "shared" / "data" / "bandit"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data"),
]


@pytest.fixture(scope="module")
def bts() -> OffPolicyReport:
    log = build_log(read_log_rows(DATA / "bts_men.csv.gz"), "click")
    assert log.num_actions == 34
    return evaluate_policy(log, uniform_policy(log), OffPolicyConfig(boosted=False))


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        ("ipw", 0.003008626),
        ("snipw", 0.003189423),
        ("dr", 0.003399762),
        ("switch_dr", 0.006261850),
        ("dros", 0.006225896),
    ],
)
def test_estimates_are_those_of_open_bandit_pipeline(
    bts: OffPolicyReport, estimator: str, value: float
) -> None:
    assert round(bts.estimates[estimator].value, 9) == value


def test_the_bootstrap_is_that_of_open_bandit_pipeline(bts: OffPolicyReport) -> None:
    low, high = bts.estimates["ipw"].intervals.bootstrap
    assert (round(low, 7), round(high, 7)) == (0.0015292, 0.0046458)


def test_overlap_of_the_sample(bts: OffPolicyReport) -> None:
    assert bts.verdict == ESTIMATED
    assert round(bts.overlap.effective_sample_size, 1) == 655.7
    assert round(bts.overlap.largest_weight) == 178
    assert round(bts.logged_value, 4) == 0.0069


def test_the_uniform_log_tells_its_own_value_and_the_intervals_hold_it(
    bts: OffPolicyReport,
) -> None:
    log = build_log(read_log_rows(DATA / "random_men.csv.gz"), "click")
    own = evaluate_policy(log, uniform_policy(log), OffPolicyConfig(boosted=False))
    assert own.verdict == ESTIMATED
    truth = own.estimates["ipw"].value
    assert round(truth, 4) == 0.0046
    for name in ("ipw", "snipw", "dr", "sndr"):
        low, high = bts.estimates[name].intervals.bootstrap
        assert low <= truth <= high, name


def test_lightgbm_tells_the_same_twice_and_brings_the_direct_method_nearer(
    bts: OffPolicyReport,
) -> None:
    log = build_log(read_log_rows(DATA / "bts_men.csv.gz"), "click")
    found = [evaluate_policy(log, uniform_policy(log)).estimates for _ in range(2)]
    assert found[0]["dr_lightgbm"] == found[1]["dr_lightgbm"]
    truth = 0.0046
    assert abs(found[0]["dm_lightgbm"].value - truth) < abs(bts.estimates["dm"].value - truth)
    assert np.isfinite(found[0]["dr_lightgbm"].value)
