"""SLOPE by hand, and that it clips where that costs nothing."""

import numpy as np
import pytest
from small_logs import chances, drawn

from recsys.off_policy import OffPolicyConfig, build_log, evaluate_policy, table_policy
from recsys.off_policy.clipping import choose_clip, clip_grid, slope


@pytest.mark.parametrize(
    ("values", "widths", "place"),
    [
        ([1.0], [0.1], 0),
        ([1.0, 1.0, 1.0], [0.3, 0.2, 0.1], 2),
        ([1.0, 0.9, 0.2], [0.3, 0.2, 0.1], 1),
        ([1.0, 0.0, 1.0], [0.1, 0.1, 0.1], 0),
        # Each meets the next, but not all have a point in common.
        ([1.0, 0.7, 0.4], [0.1, 0.1, 0.1], 1),
        # A width that rises is cut to the one before.
        ([1.0, 0.5], [0.1, 9.0], 0),
    ],
)
def test_slope_by_hand(values: list[float], widths: list[float], place: int) -> None:
    assert slope(np.array(values), np.array(widths)) == place


def test_clips_go_from_the_largest_weight_to_the_mean() -> None:
    weight = np.array([0.0, 1.0, 7.0])
    grid = clip_grid(weight)
    assert grid[0] == pytest.approx(7.0)
    assert grid[-1] == pytest.approx(8 / 3)
    assert (np.diff(grid) < 0).all()
    assert clip_grid(np.ones(3)).tolist() == [1.0]


def test_a_rare_large_weight_without_meaning_is_clipped_and_a_meaningful_one_is_not() -> None:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random(5000) < 0.002, 200.0, 0.6)
    group = np.arange(5000)
    reward = (rng.random(5000) < 0.5).astype(float)
    few = choose_clip(reward[:300], weight[:300], group[:300], (0.0, 1.0))
    assert few.value < 200
    often = np.where(rng.random(5000) < 0.2, 4.0, 0.25)
    meaningful = choose_clip((often > 1).astype(float), often, group, (0.0, 1.0))
    assert meaningful.value > 3.5


def test_a_given_clip_is_used() -> None:
    log = build_log(drawn(3000), "click")
    target = table_policy(log, chances(a=0.2, b=0.2, c=0.6), name="t")
    config = OffPolicyConfig(boosted=False, num_resamples=20, clip=1.5)
    found = evaluate_policy(log, target, config)
    weight = target.logged / log.propensity
    assert found.estimates["clipped_ipw"].value == pytest.approx(
        (np.minimum(weight, 1.5) * log.reward).mean()
    )
    assert found.clip is not None
    assert found.clip.share_clipped == pytest.approx((weight > 1.5).mean())
