"""Evidence is an e-value, on every day; and many looks keep the promised rate."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from recsys.alerts.blocks import blocks
from recsys.alerts.config import AlertConfig
from recsys.alerts.counts import Counts, Levels
from recsys.alerts.discoveries import adjusted, discoveries
from recsys.alerts.evidence import log_e_value, onset_evidence
from recsys.alerts.levels import beta_prior, group_priors, wandering
from recsys.alerts.onsets import onsets
from recsys.alerts.simulated_series import SeriesConfig, find_daily, simulate

CONFIG = AlertConfig()


def counts_of(num: list[int], bad: list[int], num_before: int = 0, bad_before: int = 0) -> Counts:
    return Counts(
        num_SD=np.array([num]),
        bad_SD=np.array([bad]),
        num_before_S=np.array([num_before]),
        bad_before_S=np.array([bad_before]),
    )


def levels_of(mean: float, strength: float, most: float = 1e6) -> Levels:
    return Levels(mean_S=np.array([mean]), strength_S=np.array([strength]), most_S=np.array([most]))


def usual(num: np.ndarray | int, bad: np.ndarray | int, a: float, b: float) -> np.ndarray:
    """Of a series without a past: one in twenty has any level."""
    return 0.95 * betabinom.pmf(bad, num, a, b) + 0.05 * betabinom.pmf(bad, num, 1.0, 1.0)


def test_evidence_is_the_ratio_of_two_probabilities() -> None:
    found = onset_evidence(counts_of([7], [5]), levels_of(0.2, 10.0), CONFIG)[0, 0]
    odds = [factor * 0.215 / 0.785 for factor in CONFIG.odds_factors]
    risen = [binom.pmf(5, 7, one / (1 + one)) for one in odds]
    assert found == pytest.approx(math.log(np.mean(risen) / usual(7, 5, 2.0, 8.0)))


def test_the_worst_count_beside_the_negative_ones() -> None:
    counts, levels = counts_of([7], [5]), levels_of(0.2, 10.0)
    worst = (counts_of([5], [4]), levels_of(0.3, 20.0))
    found = onset_evidence(counts, levels, CONFIG, worst=worst)[0, 0]
    odds = [
        (factor * 0.215 / 0.785, math.sqrt(factor) * 0.31 / 0.69) for factor in CONFIG.odds_factors
    ]
    risen = [
        binom.pmf(5, 7, one / (1 + one)) * binom.pmf(4, 5, two / (1 + two)) for one, two in odds
    ]
    of_kind = 0.95 * betabinom.pmf(5, 7, 2.0, 8.0) * betabinom.pmf(4, 5, 6.0, 14.0)
    unlike = 0.05 * betabinom.pmf(5, 7, 1.0, 1.0) * betabinom.pmf(4, 5, 1.0, 1.0)
    assert found == pytest.approx(math.log(np.mean(risen) / (of_kind + unlike)))
    nothing = (counts_of([0], [0]), levels_of(0.3, 20.0))
    none = onset_evidence(counts_of([7], [0]), levels, CONFIG, worst=nothing)
    assert none == pytest.approx(onset_evidence(counts_of([7], [0]), levels, CONFIG))


@given(
    mean=st.floats(0.02, 0.9),
    strength=st.floats(2, 500),
    num=st.integers(1, 25),
    before=st.tuples(st.integers(0, 50), st.floats(0, 1)),
)
def test_its_mean_is_1_where_nothing_changed(
    mean: float, strength: float, num: int, before: tuple[int, float]
) -> None:
    num_before, bad_before = before[0], round(before[0] * before[1])
    a = mean * strength + bad_before
    b = (1 - mean) * strength + num_before - bad_before
    of_kind = 0.95 * betabinom.pmf(bad_before, num_before, mean * strength, (1 - mean) * strength)
    of_any = 0.05 * betabinom.pmf(bad_before, num_before, 1.0, 1.0)
    bad = np.arange(num + 1)
    likely = of_kind * betabinom.pmf(bad, num, a, b) + of_any * betabinom.pmf(
        bad, num, 1.0 + bad_before, 1.0 + num_before - bad_before
    )
    counts, levels = (
        [counts_of([num], [int(one)], num_before, bad_before) for one in bad],
        levels_of(mean, strength),
    )
    evidence = [onset_evidence(one, levels, CONFIG)[0, 0] for one in counts]
    total = np.sum(likely * np.exp(evidence)) / (of_kind + of_any)
    assert total == pytest.approx(1.0, abs=1e-3)
    if num <= 8:
        both = sum(
            (
                of_kind * betabinom.pmf(k, num, a, b) * betabinom.pmf(w, k, 3.0, 4.0)
                + of_any
                * betabinom.pmf(k, num, 1.0 + bad_before, 1.0 + num_before - bad_before)
                * betabinom.pmf(w, k, 1.0, 1.0)
            )
            * np.exp(
                onset_evidence(
                    counts[k],
                    levels,
                    CONFIG,
                    worst=(counts_of([k], [w]), levels_of(3 / 7, 7.0)),
                )[0, 0]
            )
            for k in range(num + 1)
            for w in range(k + 1)
        )
        assert both / (of_kind + of_any) == pytest.approx(1.0, abs=1e-3)


def test_a_series_unlike_its_kind_has_not_turned_bad() -> None:
    level = levels_of(0.1, 12.0)
    always = onset_evidence(counts_of([12], [10], 24, 19), level, CONFIG)[0, 0]
    young = onset_evidence(counts_of([40], [31]), level, CONFIG)[0, 0]
    turned = onset_evidence(counts_of([12], [10], 24, 2), level, CONFIG)[0, 0]
    # A stake of 1/28 and a hundred such series need 10 at the rate of 0.1.
    assert always < 1.0 < turned - 10
    assert young < 5.0


@given(better=st.floats(0.01, 0.99), num=st.integers(1, 30))
def test_a_series_that_got_better_has_no_evidence_against_it(better: float, num: int) -> None:
    share = 0.4 * better
    bad = np.arange(num + 1)
    evidence = [
        onset_evidence(counts_of([num], [int(k)]), levels_of(0.4, 1000.0), CONFIG)[0, 0]
        for k in bad
    ]
    assert np.sum(binom.pmf(bad, num, share) * np.exp(evidence)) <= 1.0 + 1e-3


def test_series_without_a_review_say_nothing() -> None:
    one = counts_of([0, 3, 1], [0, 3, 0], 9, 1)
    three = Counts(
        num_SD=np.array([[0, 0, 0], *one.num_SD.tolist(), [0, 0, 0]]),
        bad_SD=np.array([[0, 0, 0], *one.bad_SD.tolist(), [0, 0, 0]]),
        num_before_S=np.array([4, 9, 0]),
        bad_before_S=np.array([4, 1, 0]),
    )
    level = levels_of(0.1, 12.0)
    found = onset_evidence(three, level.rows([0, 0, 0]), CONFIG, np.full((3, 3), 0.2))
    assert found[[0, 2]].tolist() == [[0.0] * 3] * 2
    assert found[1] == pytest.approx(onset_evidence(one, level, CONFIG, np.full((1, 3), 0.2))[0])


def test_the_stake_of_a_block_is_spent_beforehand() -> None:
    nothing = np.zeros((1, 3))
    assert log_e_value(nothing, 28)[0] == pytest.approx(0.0)
    assert log_e_value(np.array([[np.log(57.0)]]), 28)[0] == pytest.approx(np.log(3.0))
    with pytest.raises(ValueError, match="no 3 onsets"):
        log_e_value(nothing, 2)


@given(
    log_e=st.lists(st.floats(-5, 20), min_size=1, max_size=12),
    more=st.integers(0, 20),
    rate=st.floats(0.01, 0.5),
)
def test_discoveries_are_those_of_the_definition(
    log_e: list[float], more: int, rate: float
) -> None:
    values, num = np.array(log_e), len(log_e) + more
    best = max(
        (k for k in range(1, len(values) + 1) if np.sort(values)[-k] >= np.log(num / (rate * k))),
        default=0,
    )
    found = discoveries(values, rate, num_hypotheses=num)
    assert found.sum() >= best
    assert set(np.flatnonzero(found)) >= set(np.argsort(-values, kind="stable")[:best])
    assert (adjusted(values, num_hypotheses=num) <= 0).all()


def test_blocks_hold_every_onset_once() -> None:
    for day in range(1000, 1060):
        found = blocks(day, CONFIG)
        assert found[-1].end == CONFIG.window_days
        assert all(a.end == b.first for a, b in itertools.pairwise(found))
        assert found[0].first >= 0
        first_day = day + 1 - CONFIG.window_days
        assert all((first_day + one.first) % CONFIG.block_days == 0 for one in found)


def test_a_change_is_dated_by_a_review() -> None:
    series = counts_of([2, 0, 2, 2, 0, 2, 2], [0, 0, 0, 2, 0, 2, 2], 60, 6)
    evidence = onset_evidence(series, levels_of(0.1, 20.0), CONFIG)
    dated = onsets(evidence, series.num_SD)
    assert dated.likeliest[0] == 3
    assert dated.low[0] <= 3 <= dated.high[0]


def test_priors_follow_how_series_differ() -> None:
    rng = np.random.default_rng(0)
    level = rng.beta(2.0, 8.0, size=400)
    num = rng.integers(20, 200, size=400)
    mean, strength = beta_prior(num, rng.binomial(num, level), 1e3)
    assert mean == pytest.approx(0.2, abs=0.02)
    assert strength == pytest.approx(10.0, rel=0.25)
    assert beta_prior(np.zeros(3), np.zeros(3), 1e3)[0] == 0.5
    group = np.repeat([0, -1], 200)
    means, _ = group_priors(group, num, num * (group == 0), least_reviews=100, most=1e3)
    assert means[0] > 0.9 > means[-1]


def test_shares_that_wander_make_the_past_worth_less() -> None:
    rng = np.random.default_rng(0)
    series = np.repeat(np.arange(200), 12)
    num = np.full(len(series), 60)
    steady = rng.binomial(num, 0.2)
    wanders = rng.binomial(num, rng.beta(8.0, 32.0, size=len(series)))
    assert wandering(series, num, steady) > 500
    assert wandering(series, num, wanders) == pytest.approx(39.0, rel=0.35)
    # A few that broke down do not make the others look unsteady.
    broken = np.where((series < 20) & (np.arange(len(series)) % 12 > 8), 50, steady)
    assert wandering(series, num, broken) > 200


@pytest.mark.parametrize("wander", [0.0, 0.5])
def test_daily_looks_at_null_series_keep_the_rate(wander: float) -> None:
    config = SeriesConfig(num_series=300, days=434, wander=wander)
    false = num_blocks = 0
    for seed in range(4):
        found = find_daily(simulate(config, seed=seed), CONFIG, first_look=364)
        false += len(set(found.block_S.tolist()) - {-1})
        num_blocks += len(found.blocks)
    assert false <= CONFIG.false_discovery_rate * num_blocks


def test_what_broke_is_found_and_little_else() -> None:
    config = SeriesConfig(
        num_series=200, days=434, reviews_a_day=2.0, changed=0.1, odds_factor=20.0
    )
    series = simulate(config, seed=1)
    found = find_daily(series, CONFIG, first_look=364).day_S
    broke = series.onset_S >= 0
    real = (found >= series.onset_S) & broke & (found >= 0)
    busy = broke & (series.num_SD.mean(axis=1) > 0.5)
    assert real[busy].mean() >= 0.9
    assert ((found >= 0) & ~real).sum() <= 0.1 * max(10, (found >= 0).sum())


def test_config_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="false_discovery_rate"):
        AlertConfig(false_discovery_rate=0.0)
    with pytest.raises(ValueError, match="odds_factors"):
        AlertConfig(odds_factors=(0.5,))
