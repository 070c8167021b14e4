"""The simulator: exact values against counted ones, tables that give the same log, coverage."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from benchmarks.abtest.off_policy import run_off_policy, sample_shop, shop_coverage
from recsys.off_policy import build_log
from recsys.off_policy.exposure_rows import exposure_rows
from recsys.simulated_tables import after, simulated_tables
from recsys.simulated_users import Behaviour, SoftPolicy, Truth
from recsys.simulation import REWARDS, mean_reward, simulate, true_value

NO_SIGNALS = pl.DataFrame(schema={"review_id": pl.String, "polarity": pl.Float32})


def small(num_users: int = 20, num_items: int = 12, num_candidates: int = 5) -> Truth:
    rng = np.random.default_rng(0)
    drawn = np.argsort(rng.random((num_users, num_items)), axis=1)[:, :num_candidates]
    return Truth(
        user_ids=np.array([f"u{n:02}" for n in range(num_users)], dtype=object),
        item_ids=np.array([f"i{n:02}" for n in range(num_items)], dtype=object),
        relevance=rng.beta(1, 2, (num_users, num_items)),
        satisfaction=rng.beta(2, 2, (num_users, num_items)),
        candidates=np.sort(drawn, axis=1),
    )


def soft(truth: Truth, **settings: float) -> SoftPolicy:
    return SoftPolicy(name="p", scores=truth.relevance * truth.satisfaction, **settings)


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.1, "epsilon": 0.2},
        {"temperature": 0.0, "epsilon": 0.0},
        {"temperature": 0.0, "epsilon": 1.0},
    ],
)
def test_the_exact_value_is_what_is_counted(reward: str, settings: dict) -> None:
    truth, behaviour = small(), Behaviour(num_places=3)
    policy = soft(truth, **settings)
    rows = simulate(truth, behaviour, policy, num_lists=60_000, seed=1).rows(truth)
    of_lists = rows.group_by("list_id").agg(pl.col(reward).mean())[reward].to_numpy()
    error = of_lists.std() / np.sqrt(len(of_lists))
    value = true_value(truth, behaviour, policy, reward)
    assert abs(of_lists.mean() - value) < 4 * error


def test_the_value_of_the_best_list_by_hand() -> None:
    truth = Truth(
        user_ids=np.array(["u"], dtype=object),
        item_ids=np.array(["a", "b", "c"], dtype=object),
        relevance=np.array([[0.2, 0.8, 0.5]]),
        satisfaction=np.array([[0.5, 0.5, 0.25]]),
        candidates=np.array([[0, 1, 2]]),
    )
    best = SoftPolicy(name="best", scores=truth.relevance, temperature=0.0, epsilon=0.0)
    behaviour = Behaviour(num_places=2, purchase_rate=0.5, judged_rate=0.8)
    assert true_value(truth, behaviour, best) == pytest.approx((0.8 + 0.5 / 2) / 2)
    assert true_value(truth, behaviour, best, "purchase") == pytest.approx(0.5 * 1.05 / 2)
    felt = 0.5 * 0.8 * (0.5 / 2) * (2 * 0.25 - 1) / 2
    assert true_value(truth, behaviour, best, "satisfaction") == pytest.approx(felt)
    # By luck each of three comes to each place equally often.
    luck = SoftPolicy(name="luck", scores=truth.relevance, epsilon=1.0)
    assert true_value(truth, behaviour, luck) == pytest.approx(0.5 * (1 + 1 / 2) / 2)


def test_propensities_are_how_often_items_come() -> None:
    truth, behaviour = small(num_users=1), Behaviour(num_places=2)
    found = simulate(truth, behaviour, soft(truth), num_lists=40_000, seed=3)
    assert (found.item[:, 0] != found.item[:, 1]).all()
    for item in truth.candidates[0]:
        first = found.item[:, 0] == item
        assert first.mean() == pytest.approx(found.propensity[first, 0][0], abs=0.01)
        after_it = found.item[first, 1]
        for second in np.unique(after_it):
            told = found.propensity[first, 1][after_it == second][0]
            assert (after_it == second).mean() == pytest.approx(told, abs=0.03)


def test_the_same_seed_shows_the_same() -> None:
    truth, behaviour = small(), Behaviour()
    one, two, other = (
        simulate(truth, behaviour, soft(truth), num_lists=50, seed=seed).rows(truth)
        for seed in (1, 1, 2)
    )
    assert one.equals(two)
    assert not one.equals(other)


def test_tables_join_back_to_the_rows_they_came_from() -> None:
    truth, behaviour = small(), Behaviour()
    found = simulate(truth, behaviour, soft(truth), num_lists=800, seed=4)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    tables = simulated_tables(found, truth, start=start, policy="p")
    joined = exposure_rows(tables.exposures, tables.events, tables.reviews, NO_SIGNALS)
    assert joined.left_out == {}
    told = found.rows(truth)
    order = joined.rows.sort(pl.col("list_id").str.split("-").list.last().cast(int), "position")
    for reward in REWARDS:
        assert order[reward].to_numpy() == pytest.approx(told[reward].to_numpy(), abs=1e-6)
    assert order["item_id"].to_list() == told["item_id"].to_list()
    one, other = build_log(joined.rows, "click"), build_log(told, "click")
    assert one.candidate_id is not None
    assert other.candidate_id is not None
    assert sorted(one.candidate_id) == sorted(other.candidate_id)
    assert (tables.events["event_time"] < after(tables.events)).all()


@pytest.mark.slow
def test_intervals_hold_the_truth_over_200_logs_of_the_sample_shop() -> None:
    truth, behaviour, logging, target = sample_shop()
    found = shop_coverage(
        truth,
        behaviour,
        logging,
        target,
        "satisfaction",
        num_logs=200,
        num_lists=1000,
        num_resamples=200,
    )
    assert found["dr"].num_logs == 200
    assert found["dr"].bootstrap >= 0.92
    assert found["dr"].normal >= 0.92


def test_intervals_hold_the_truth_over_a_few_logs() -> None:
    truth, behaviour, logging, target = sample_shop()
    found = shop_coverage(
        truth, behaviour, logging, target, "click", num_logs=20, num_lists=800, num_resamples=100
    )
    # Fewer than 16 of 20 have a chance of one in three hundred at 95 percent.
    assert found["dr"].normal >= 0.8
    assert found["dr"].num_refused == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_places": 0}, "num_places is 0"),
        ({"purchase_rate": 1.5}, "purchase_rate is 1.5"),
        ({"concentration": 0.0}, "concentration 0.0"),
    ],
)
def test_behaviour_is_checked(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Behaviour(**settings)


def test_policies_truth_and_rewards_are_checked() -> None:
    truth = small()
    with pytest.raises(ValueError, match="temperature is -1"):
        soft(truth, temperature=-1.0)
    with pytest.raises(ValueError, match="epsilon is 2"):
        soft(truth, epsilon=2.0)
    with pytest.raises(ValueError, match="unknown reward 'joy'"):
        mean_reward(truth, Behaviour(), "joy")
    with pytest.raises(ValueError, match="5 candidates cannot fill 6 places"):
        simulate(truth, Behaviour(num_places=6), soft(truth), num_lists=1, seed=0)
    with pytest.raises(ValueError, match=r"relevance lies outside \[0, 1\]"):
        Truth(
            user_ids=truth.user_ids,
            item_ids=truth.item_ids,
            relevance=truth.relevance * 3,
            satisfaction=truth.satisfaction,
            candidates=truth.candidates,
        )
    with pytest.raises(ValueError, match="users by items"):
        Truth(
            user_ids=truth.user_ids,
            item_ids=truth.item_ids[:3],
            relevance=truth.relevance,
            satisfaction=truth.satisfaction,
            candidates=truth.candidates,
        )


def test_the_benchmark_has_a_row_a_case_and_a_row_an_estimator() -> None:
    rows = list(run_off_policy(num_simulations=50, num_logs=1))
    assert len(rows) == 4 + 3 * 4
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[0]["truth"] == pytest.approx(rows[0]["mean"], abs=0.02)
