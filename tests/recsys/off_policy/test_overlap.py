"""What is refused, and that the refusal has its reason."""

import numpy as np
import polars as pl
import pytest
from small_logs import chances, drawn, rows

from recsys.errors import LogError
from recsys.off_policy import (
    ESTIMATED,
    NOT_ESTIMABLE,
    Gates,
    OffPolicyConfig,
    build_log,
    evaluate_policy,
    table_policy,
    uniform_policy,
)
from recsys.off_policy.overlap import effective_size, measure_overlap

FAST = OffPolicyConfig(boosted=False, num_resamples=50)


def test_a_log_with_an_effective_sample_of_two_is_refused() -> None:
    # The logging policy shows b once in ten thousand; the target always does.
    propensity = [0.0001] * 2 + [0.9999] * 9998
    log = build_log(rows("bb" + "a" * 9998, propensity, [1.0, 1.0] + [0.0] * 9998), "click")
    target = table_policy(log, chances(a=0.0, b=1.0), name="always b")
    weight = target.logged / log.propensity
    assert (weight * log.reward).mean() == pytest.approx(2.0)
    found = evaluate_policy(log, target, FAST)
    assert found.overlap.effective_sample_size == 2.0
    assert found.verdict == NOT_ESTIMABLE
    assert "effective sample size is 2.0 of 10,000 rows, wanted at least 100" in found.reasons[0]
    assert found.estimates == {}
    assert found.to_dict()["estimate"] is None


def test_it_is_refused_also_where_the_mean_weight_is_one_and_all_is_supported() -> None:
    propensity = [0.0002] * 2 + [0.9998] * 9998
    log = build_log(rows("bb" + "a" * 9998, propensity, [1.0, 0.0] * 5000), "click")
    found = evaluate_policy(log, table_policy(log, chances(b=1.0), name="b"), FAST)
    assert found.overlap.mean_weight == pytest.approx(1.0)
    assert found.overlap.unlogged_share == 0.0
    assert found.verdict == NOT_ESTIMABLE


def test_a_deterministic_log_cannot_tell_of_another_policy() -> None:
    log = build_log(rows("ab" * 500, [1.0] * 1000, [1.0, 0.0] * 500), "click")
    found = evaluate_policy(log, uniform_policy(log), FAST)
    assert found.verdict == NOT_ESTIMABLE
    assert any("mean weight is 0.500" in reason for reason in found.reasons)


def test_items_that_were_never_shown_are_refused() -> None:
    log = build_log(drawn(2000), "click")
    found = evaluate_policy(log, table_policy(log, chances(a=0.5, b=0.4, new=0.1), name="p"), FAST)
    assert found.verdict == NOT_ESTIMABLE
    assert any("10.0% of what the policy shows was never logged" in why for why in found.reasons)


def test_weight_on_a_hundredth_of_the_rows_is_refused() -> None:
    items = "b" * 200 + "a" * 20_000
    log = build_log(rows(items, [0.01] * 200 + [0.99] * 20_000, [1.0] * 20_200), "click")
    found = evaluate_policy(log, table_policy(log, chances(a=0.1, b=0.9), name="p"), FAST)
    assert found.overlap.effective_sample_size > 100
    assert [why for why in found.reasons if "on 1% of the rows" in why]


def test_a_log_without_any_reward_is_refused() -> None:
    log = build_log(rows("ab" * 500, [0.5] * 1000, [0.0] * 1000), "click")
    assert (
        "nothing to tell policies apart"
        in evaluate_policy(log, uniform_policy(log), FAST).reasons[0]
    )


def test_what_overlaps_is_estimated_and_few_rewards_are_told() -> None:
    log = build_log(drawn(3000), "click")
    found = evaluate_policy(log, uniform_policy(log), FAST)
    assert (found.verdict, found.reasons, found.cautions) == (ESTIMATED, [], [])
    few = build_log(rows("ab" * 500, [0.5] * 1000, [1.0] + [0.0] * 999), "click")
    told = evaluate_policy(few, uniform_policy(few), FAST)
    assert told.verdict == ESTIMATED
    assert "only 1.0 rewarded rows" in told.cautions[0]


def test_gates_can_be_set_and_are_checked() -> None:
    log = build_log(drawn(90), "click")
    assert evaluate_policy(log, uniform_policy(log), FAST).verdict == NOT_ESTIMABLE
    loose = OffPolicyConfig(boosted=False, num_resamples=50, gates=Gates(least_effective_rows=20))
    assert evaluate_policy(log, uniform_policy(log), loose).verdict == ESTIMATED
    with pytest.raises(ValueError, match="least_effective_rows is 1"):
        Gates(least_effective_rows=1)
    with pytest.raises(ValueError, match="most_unlogged is 2"):
        Gates(most_unlogged=2)


def test_figures_by_hand() -> None:
    weight = np.array([2.0, 1.0, 1.0, 0.0])
    reward, group = np.array([1.0, 1.0, 0.0, 1.0]), np.array([0, 0, 1, 1])
    found = measure_overlap(weight, np.array([0.0, 0.0, 0.2, 0.2]), reward, group)
    assert found.num_effective_groups == pytest.approx(16 / 10)
    assert found.effective_sample_size == pytest.approx(16 / 6)
    assert (found.mean_weight, found.largest_weight, found.largest_share) == (1.0, 2.0, 0.5)
    assert found.unlogged_share == pytest.approx(0.1)
    assert found.num_effective_rewards == pytest.approx(9 / 5)
    assert effective_size(np.zeros(3)) == 0.0


def test_rows_of_one_user_say_nothing_of_how_sure_an_estimate_is() -> None:
    frame = drawn(2000).with_columns(user_id=pl.lit("the only one"))
    log = build_log(frame, "click")
    found = evaluate_policy(log, uniform_policy(log), FAST)
    assert found.overlap.effective_sample_size > 1000
    assert found.verdict == NOT_ESTIMABLE
    assert "in effectively 1.0 users or lists, wanted at least 20" in found.reasons[0]


def test_weights_that_are_no_numbers_are_refused() -> None:
    places = {"list_id": ["l"] * 3, "position": [1, 2, 3]}
    log = build_log(rows("abc", [1e-200] * 3, [1.0] * 3, **places), "click")
    with pytest.raises(LogError, match="propensities go down to 1e-200"):
        evaluate_policy(log, uniform_policy(log), FAST)
    alone = OffPolicyConfig(boosted=False, num_resamples=50, independent_places=True)
    found = evaluate_policy(log, uniform_policy(log), alone)
    assert found.overlap.effective_sample_size == pytest.approx(3.0)
    assert found.verdict == NOT_ESTIMABLE


def test_an_effective_size_of_large_weights() -> None:
    assert effective_size(np.array([1e200, 1e200])) == pytest.approx(2.0)
    assert effective_size(np.array([np.inf, 1.0])) == 0.0
