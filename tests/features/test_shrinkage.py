"""Shrunk group means: by hand, against a simulation whose truth is known, and at the edges."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.shrinkage import GroupPrior, Moments, group_prior

MOMENTS = Moments(count="n", total="total", squares="squares")


def summed(groups: list[list[float]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "n": [len(group) for group in groups],
            "total": [float(sum(group)) for group in groups],
            "squares": [float(sum(value**2 for value in group)) for group in groups],
        },
        schema={"n": pl.Int64, "total": pl.Float64, "squares": pl.Float64},
    )


def shrunk(groups: pl.DataFrame, prior: GroupPrior) -> list[float]:
    return groups.select(prior.mean_of(MOMENTS))[:, 0].to_list()


def test_by_hand() -> None:
    # Means 2 and 5, of all 3.5; within (2 + 2) / (4 - 2); between (9 / 1 - 2) / n_0, n_0 = 2.
    groups = summed([[1.0, 3.0], [4.0, 6.0]])
    prior = group_prior(groups, MOMENTS)
    assert (prior.mean, prior.between, prior.within) == pytest.approx((3.5, 3.5, 2.0))
    weight = 2 * 3.5 / (2 * 3.5 + 2.0)
    assert shrunk(groups, prior) == pytest.approx([3.5 - 1.5 * weight, 3.5 + 1.5 * weight])
    low, high = prior.interval_of(MOMENTS, 0.0, 5.0)
    found = groups.select(low=low, high=high)
    # The mean of two groups that each vary by 3.5 + 2 / 2 varies by half of that.
    reach = 1.959964 * np.sqrt(3.5 * (1 - weight) + 2.25 * (1 - weight) ** 2)
    assert found["low"].to_list() == pytest.approx(
        [3.5 - 1.5 * weight - reach, 3.5 + 1.5 * weight - reach]
    )
    assert found["high"].to_list() == pytest.approx([3.5 - 1.5 * weight + reach, 5.0])


def test_known_truth_is_found_again() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 40, 3000)
    level = rng.normal(3.0, 0.5, 3000)
    prior = group_prior(
        summed([rng.normal(mean, 1.2, n).tolist() for mean, n in zip(level, sizes, strict=True)]),
        MOMENTS,
    )
    assert prior.mean == pytest.approx(3.0, abs=0.04)
    assert prior.between == pytest.approx(0.25, rel=0.1)
    assert prior.within == pytest.approx(1.44, rel=0.03)


def test_shrunk_means_miss_by_less_and_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 8, 4000)
    level = rng.normal(0.0, 0.5, 4000)
    drawn = [rng.normal(mean, 1.0, n).tolist() for mean, n in zip(level, sizes, strict=True)]
    groups = summed(drawn)
    prior = group_prior(groups, MOMENTS)
    low, high = prior.interval_of(MOMENTS, -9.0, 9.0)
    found = groups.select(prior.mean_of(MOMENTS).alias("mean"), low=low, high=high)
    own = np.array([np.mean(group) for group in drawn])
    of_own = np.square(own - level).mean()
    assert np.square(found["mean"].to_numpy() - level).mean() < 0.6 * of_own
    covered = (found["low"].to_numpy() <= level) & (level <= found["high"].to_numpy())
    assert covered.mean() == pytest.approx(0.95, abs=0.015)


def test_a_group_without_observations_is_the_prior() -> None:
    groups = summed([[1.0, 3.0], [4.0, 6.0], []])
    prior = group_prior(groups, MOMENTS)
    assert shrunk(groups, prior)[2] == prior.mean == pytest.approx(3.5)
    assert groups.select(prior.weight_of(MOMENTS))[2, 0] == 0.0
    assert groups.select(prior.deviation_of(MOMENTS))[2, 0] == pytest.approx(np.sqrt(3.5 + 2.25))


def test_groups_that_never_waver_are_themselves() -> None:
    groups = summed([[1.0, 1.0], [5.0, 5.0], []])
    prior = group_prior(groups, MOMENTS)
    assert shrunk(groups, prior) == pytest.approx([1.0, 5.0, 3.0])
    assert groups.select(prior.deviation_of(MOMENTS))[:2, 0].to_list() == [0.0, 0.0]


def test_nothing_observed_is_unknown() -> None:
    groups = summed([[], []])
    prior = group_prior(groups, MOMENTS)
    assert prior.mean is None
    assert shrunk(groups, prior) == [None]
    assert groups.select(prior.deviation_of(MOMENTS))[0, 0] is None


@pytest.mark.parametrize(
    ("groups", "within"),
    [
        ([[2.0, 4.0, 6.0]], 4.0),
        ([[2.0], [4.0], [6.0]], 4.0),
        ([[3.0]], 0.0),
        ([[4.0, 4.0], [4.0]], 0.0),
    ],
    ids=["one group", "one each", "one of one", "all alike"],
)
def test_where_groups_cannot_be_told_apart(groups: list[list[float]], within: float) -> None:
    values = [value for group in groups for value in group]
    prior = group_prior(summed(groups), MOMENTS)
    assert (prior.mean, prior.between, prior.within) == (float(np.mean(values)), 0.0, within)
    assert prior.mean_variance == pytest.approx(within / len(values))
    assert set(shrunk(summed(groups), prior)) == {prior.mean}


STARS = st.lists(
    st.lists(st.integers(1, 5).map(float), min_size=1, max_size=12), min_size=1, max_size=12
)


@given(STARS)
def test_a_shrunk_mean_lies_between_its_own_and_the_prior(groups: list[list[float]]) -> None:
    prior = group_prior(summed(groups), MOMENTS)
    assert prior.mean is not None
    for group, mean in zip(groups, shrunk(summed(groups), prior), strict=False):
        ends = sorted([float(np.mean(group)), prior.mean])
        assert ends[0] - 1e-9 <= mean <= ends[1] + 1e-9


@given(STARS, st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(groups: list[list[float]], random) -> None:
    mixed = list(groups)
    random.shuffle(mixed)
    first, second = group_prior(summed(groups), MOMENTS), group_prior(summed(mixed), MOMENTS)
    assert first.mean == pytest.approx(second.mean)
    assert first.between == pytest.approx(second.between, abs=1e-9)
    assert first.within == pytest.approx(second.within, abs=1e-9)
