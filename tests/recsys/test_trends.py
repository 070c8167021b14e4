import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.interactions import Interactions
from recsys.trends import TrendConfig, item_trends

DAY_US = 86_400_000_000
WEEK = TrendConfig(recent_days=(7,))


def purchases(item_idx: np.ndarray, days: np.ndarray, num_items: int) -> Interactions:
    """One user a purchase, on a day; the last is the last moment of its day."""
    num = len(item_idx)
    times = np.asarray(days * DAY_US, dtype=np.int64)
    return Interactions(
        num_users=num,
        num_items=num_items,
        user_idx=np.arange(num, dtype=np.int32),
        item_idx=np.asarray(item_idx, dtype=np.int32),
        event_time=times,
        sentiment=np.full(num, np.nan, dtype=np.float32),
        stars=np.full(num, np.nan, dtype=np.float32),
        session_start=times,
    )


def bought_by_week(*weeks: list[int]) -> Interactions:
    """Purchases of each item in each week, the latest week last."""
    items = [np.repeat(np.arange(len(counts)), counts) for counts in weeks]
    last = 7 * len(weeks)
    days = [
        np.linspace(last - 7 * back - 6.5, last - 7 * back - 0.5, len(of_week))
        for back, of_week in zip(range(len(weeks) - 1, -1, -1), items, strict=True)
    ]
    days[-1][-1] = last
    return purchases(np.concatenate(items), np.concatenate(days), len(weeks[0]))


STEADY = [40, 20, 10, 5, 0, 0]


def test_counts_and_what_is_expected_are_told() -> None:
    found = item_trends(bought_by_week(STEADY, STEADY, STEADY, STEADY, [20, 10, 5, 40, 0, 0]), WEEK)
    assert (found.recent_days, found.before_days) == (7, 28)
    assert found.end == 35 * DAY_US
    assert found.num_recent.tolist() == [20, 10, 5, 40, 0, 0]
    assert found.num_before.tolist() == [160, 80, 40, 20, 0, 0]
    # 75 of all purchases are recent, against 300 before.
    np.testing.assert_allclose(found.expected, [40, 20, 10, 5, 0, 0])


def test_what_rises_comes_before_what_sells_most() -> None:
    found = item_trends(
        bought_by_week(STEADY, STEADY, STEADY, STEADY, [40, 20, 10, 30, 6, 0]), WEEK
    )
    assert np.flatnonzero(found.rises).tolist() == [3, 4]
    assert set(found.order[:2].tolist()) == {3, 4}
    assert found.order[2:].tolist() == [0, 1, 2]


def test_the_rise_is_between_nothing_and_the_ratio_of_the_counts() -> None:
    recent = [40, 20, 10, 30, 6, 0]
    found = item_trends(bought_by_week(STEADY, STEADY, STEADY, STEADY, recent), WEEK)
    ratio = found.num_recent[3] / found.expected[3]
    assert 1 < found.rise_low[3] < found.rise[3] < ratio
    assert found.rise[5] == 1
    assert found.rise_low[5] == 0


def test_the_same_ratio_of_more_purchases_is_surer() -> None:
    recent = [200, 200, 200, 60, 6, 0]
    before = [50, 50, 50, 5, 1, 0]
    found = item_trends(bought_by_week(before, before, before, before, recent), WEEK)
    few = item_trends(bought_by_week(*[[50, 50, 50, 1, 0, 0]] * 4, [50, 50, 50, 3, 0, 0]), WEEK)
    many = item_trends(bought_by_week(*[[50, 50, 50, 30, 0, 0]] * 4, [50, 50, 50, 90, 0, 0]), WEEK)
    assert many.rise_low[3] > few.rise_low[3]
    assert found.rise_low[3] > found.rise_low[4]


def test_where_nothing_changes_hardly_anything_is_said_to_rise() -> None:
    rng = np.random.default_rng(0)
    shares = rng.pareto(1.2, 1000) + 0.05
    items = rng.choice(1000, 40_000, p=shares / shares.sum())
    found = item_trends(purchases(items, rng.uniform(0, 100, 40_000), 1000), WEEK)
    # By itself an 80% bound would call a fifth of all items risen.
    assert found.rises.sum() <= 5


def test_items_that_trebled_are_found_among_many_that_did_not() -> None:
    rng = np.random.default_rng(1)
    items, days = rng.integers(0, 500, 40_000), rng.uniform(0, 100, 40_000)
    risen = rng.choice(500, 25, replace=False)
    more = np.repeat(risen, 12)
    late = rng.uniform(93.1, 100, len(more))
    bought = purchases(np.concatenate([items, more]), np.concatenate([days, late]), 500)
    found = item_trends(bought, WEEK)
    assert np.isin(risen, np.flatnonzero(found.rises)).mean() > 0.9
    assert np.isin(found.order[:25], risen).mean() > 0.9


def test_a_quiet_shop_is_asked_about_a_longer_time() -> None:
    rng = np.random.default_rng(2)
    bought = purchases(rng.integers(0, 20, 1000), rng.uniform(0, 100, 1000), 20)
    config = TrendConfig(recent_days=(7, 14, 28), least_purchases=200)
    assert item_trends(bought, config).recent_days == 28
    assert item_trends(bought, TrendConfig(least_purchases=50)).recent_days == 7
    assert item_trends(bought, TrendConfig(least_purchases=10**6)).recent_days == 56


@pytest.mark.parametrize("weeks", [[[3, 1, 0]], [[0, 0, 0], [0, 0, 0], [3, 1, 0]]])
def test_without_a_time_before_nothing_rises_and_what_sells_is_ordered(
    weeks: list[list[int]],
) -> None:
    found = item_trends(bought_by_week(*weeks), WEEK)
    assert not found.rises.any()
    assert found.order.tolist() == [0, 1]


def test_of_no_purchases_there_is_no_order() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    found = item_trends(purchases(nothing, nothing, 3))
    assert found.end == 0
    assert found.order.tolist() == []
    assert found.num_recent.tolist() == [0, 0, 0]


@given(st.integers(0, 200))
def test_bounds_are_numbers_and_lie_below_the_rise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num, num_items = int(rng.integers(0, 300)), int(rng.integers(1, 20))
    bought = purchases(rng.integers(0, num_items, num), rng.uniform(0, 60, num), num_items)
    found = item_trends(bought, WEEK)
    assert np.isfinite(found.rise).all()
    assert (found.rise_low >= 0).all()
    assert (found.rise_low <= found.rise + 1e-9).all()
    assert sorted(found.order.tolist()) == sorted(set(bought.item_idx.tolist()))
    rising = found.rises[found.order]
    assert not (np.diff(rising.astype(int)) > 0).any()


@pytest.mark.parametrize(
    "options",
    [
        {"recent_days": ()},
        {"recent_days": (14, 7)},
        {"recent_days": (0, 7)},
        {"times_longer": 0},
        {"certainty": 1.0},
    ],
)
def test_windows_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        TrendConfig(**options)
