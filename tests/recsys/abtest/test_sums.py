"""Whole sums and counted ranks say what numpy says of all values at once."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.abtest.estimates import Moments
from recsys.abtest.metric_sums import Column, MetricSums, summed
from recsys.abtest.order_statistics import OrderStatistics, bin_counts, span

WHOLES = st.lists(st.integers(-(10**13), 10**13) | st.integers(-3, 3), min_size=1, max_size=40)


@given(values=WHOLES, num_parts=st.integers(1, 5))
def test_every_rank_is_found_by_counting(values: list[int], num_parts: int) -> None:
    parts = [np.array(values[n::num_parts], dtype=np.int64) for n in range(num_parts)]
    ordered = OrderStatistics(
        [span(part) for part in parts],
        lambda low, width: np.sum([bin_counts(part, low, width) for part in parts], axis=0),
    )
    assert ordered.num == len(values)
    assert [ordered.at(rank) for rank in range(len(values))] == sorted(values)


@pytest.mark.parametrize("cap", [None, 31.4159])
def test_parts_have_the_moments_of_all_users_in_any_order(cap: float | None) -> None:
    rng = np.random.default_rng(0)
    users = pl.DataFrame(
        {
            "arm": pl.Series(rng.integers(0, 2, 500), dtype=pl.Int8),
            "after_0": rng.integers(-10, 5000, 500),
            "after_1": rng.integers(0, 9, 500),
        }
    )
    columns = [
        Column(name="top", source="after_0", unit=100, cap=cap),
        Column(name="bottom", source="after_1"),
    ]
    whole = MetricSums.of([summed(users, columns, None)], columns, None)
    turned = users.reverse()
    parts = [summed(part, columns, None) for part in (turned[:3], turned[3:3], turned[3:])]
    merged = MetricSums.of(parts, columns, None)
    for arm in (0, 1):
        mine = users.filter(pl.col("arm") == arm)
        top, bottom = mine["after_0"].to_numpy() / 100, mine["after_1"].to_numpy().astype(float)
        wanted = Moments.of([top if cap is None else np.minimum(top, cap), bottom])
        found = merged.moments(arm)
        assert found.num_users == wanted.num_users
        np.testing.assert_allclose(found.mean_C, wanted.mean_C, rtol=1e-13)
        np.testing.assert_allclose(found.covariance_CC, wanted.covariance_CC, rtol=1e-12)
        assert (found.covariance_CC == whole.moments(arm).covariance_CC).all()
        assert (found.mean_C == whole.moments(arm).mean_C).all()
