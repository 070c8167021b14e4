"""Campaigns whose truth is known."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.abtest.campaign import analyse_campaign
from recsys.abtest.campaign_panel import sales_panel
from recsys.abtest.campaign_plan import parse_campaign
from recsys.abtest.difference_in_differences import difference_in_differences
from recsys.abtest.synthetic_control import simplex_weights, synthetic_control
from recsys.errors import ExperimentLogError, PlanError

PLAN = """
name = "autumn strings"
start = 2026-09-01
end = 2026-09-15
treated = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"]
num_periods_before = 28
value = "count"
"""
START = datetime(2026, 9, 1, tzinfo=UTC)


def panel(
    *, effect: float = 0.0, trend: float = 0.0, seed: int = 0, num: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """Return sales of 28 periods before and 14 after, and who is treated: the first quarter."""
    rng = np.random.default_rng(seed)
    treated = np.arange(num) < num // 4
    after = np.arange(42) >= 28
    level = rng.normal(20, 5, (num, 1)) + np.sin(np.arange(42) / 3)
    sales = level + rng.normal(0, 2, (num, 42)) + rng.normal(0, 0.5, (num, 1)) * after
    return sales + np.outer(treated, effect * after + trend * np.arange(42)), treated


def log_of(sales: np.ndarray, polarity: float = 0.0) -> pl.LazyFrame:
    """Return purchases of whole numbers of sales, and reviews of them."""
    rows = []
    rng = np.random.default_rng(1)
    for unit, counts in enumerate(np.maximum(0, sales.round()).astype(int)):
        treated = unit < len(sales) // 4
        name = f"t{unit}" if treated else f"c{unit}"
        for period, count in enumerate(counts):
            day = START + timedelta(days=period - 28, hours=1)
            rows += [(f"u{k}", "purchase", day, name, None) for k in range(count)]
            felt = rng.normal(0.4 + polarity * (treated and period >= 28), 0.3)
            rows.append((f"u{unit}", "review", day, name, float(np.clip(felt, -1, 1))))
    return pl.LazyFrame(
        rows,
        schema={
            "user_id": pl.String,
            "event_type": pl.String,
            "event_time": pl.Datetime("us", "UTC"),
            "item_id": pl.String,
            "polarity": pl.Float64,
        },
        orient="row",
    )


def test_the_effect_is_that_of_a_regression_with_dummies() -> None:
    sales, treated = panel(effect=3.0)
    found = difference_in_differences(sales, treated, num_before=28, alpha=0.05)
    units, periods = sales.shape
    unit = np.repeat(np.eye(units), periods, axis=0)
    period = np.tile(np.eye(periods)[:, 1:], (units, 1))
    switched = np.outer(treated, np.arange(periods) >= 28).ravel() * 1.0
    peer = sm.OLS(sales.ravel(), np.column_stack([switched, unit, period])).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(units), periods)}
    )
    assert found.effect == pytest.approx(peer.params[0])
    assert found.standard_error == pytest.approx(peer.bse[0], rel=0.06)
    assert found.low < 3 < found.high
    assert found.total == pytest.approx(found.effect * 10 * 14)
    assert found.pretrend_p is not None
    assert found.pretrend_p > 0.05


def test_intervals_cover_and_pretrends_are_seldom_seen_where_there_are_none() -> None:
    covered, seen = 0, 0
    for seed in range(300):
        sales, treated = panel(effect=1.0, seed=seed)
        found = difference_in_differences(sales, treated, num_before=28, alpha=0.05)
        covered += found.low <= 1 <= found.high
        assert found.pretrend_p is not None
        seen += found.pretrend_p < 0.05
    # Within 2.6 Monte Carlo standard errors of what is promised.
    assert abs(covered / 300 - 0.95) <= 2.6 * (0.95 * 0.05 / 300) ** 0.5
    assert abs(seen / 300 - 0.05) <= 2.6 * (0.95 * 0.05 / 300) ** 0.5


def test_a_pretrend_is_seen() -> None:
    sales, treated = panel(trend=0.2)
    found = difference_in_differences(sales, treated, num_before=28, alpha=0.05)
    assert found.pretrend_p is not None
    assert found.pretrend_p < 0.001


def test_one_treated_unit_needs_a_synthetic_control() -> None:
    sales, treated = panel()
    alone = np.arange(len(treated)) == 0
    with pytest.raises(ExperimentLogError, match='method = "synthetic-control"'):
        difference_in_differences(sales, alone, num_before=28, alpha=0.05)


@given(arrays(np.float64, (4, 12), elements=st.floats(0, 100)), st.integers(0, 3))
def test_weights_are_shares_and_a_donor_is_its_own_mixture(donors: np.ndarray, which: int) -> None:
    weights = simplex_weights(donors[which], donors)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert weights @ donors == pytest.approx(donors[which], abs=1e-2)


def test_a_synthetic_control_finds_the_mixture_and_the_effect() -> None:
    rng = np.random.default_rng(0)
    donors = 20 + np.cumsum(rng.normal(0, 1, (25, 42)), axis=1)
    truth = np.zeros(25)
    truth[[2, 7, 11]] = 0.5, 0.3, 0.2
    treated = truth @ donors + rng.normal(0, 0.1, 42) + 4.0 * (np.arange(42) >= 28)
    found = synthetic_control(treated, donors, num_before=28)
    assert found.weights_D == pytest.approx(truth, abs=0.06)
    assert found.effect == pytest.approx(4, abs=0.3)
    assert found.total == pytest.approx(14 * found.effect)
    assert found.p_value == pytest.approx(1 / 26)
    assert found.error_before < 0.2
    nothing = synthetic_control(treated - 4.0 * (np.arange(42) >= 28), donors, num_before=28)
    assert nothing.p_value > 0.05
    assert abs(nothing.effect) < 0.3


def test_a_synthetic_control_needs_donors() -> None:
    with pytest.raises(ExperimentLogError, match="1 donors"):
        synthetic_control(np.ones(5), np.ones((1, 5)), num_before=3)


def test_a_campaign_that_sold_more_and_pleased_is_worth_it() -> None:
    found = analyse_campaign(parse_campaign(PLAN), log_of(panel(effect=4.0)[0], polarity=0.1))
    assert found.decision == "ship"
    assert found.sales is not None
    assert found.sales.effect == pytest.approx(4, abs=1)
    assert found.sentiment is not None
    assert found.sentiment.effect == pytest.approx(0.1, abs=0.08)
    assert found.satisfaction is not None
    assert (found.num_treated, found.num_controls) == (10, 30)
    assert found.means_2P.shape == (2, 42)


@pytest.mark.parametrize(
    ("effect", "trend", "polarity", "decision", "words"),
    [
        (4.0, 0.0, -0.5, "do not ship", "sentiment"),
        (-4.0, 0.0, 0.0, "do not ship", "sales"),
        (0.0, 0.0, 0.0, "not decidable", "sales"),
        (4.0, 0.3, 0.0, "not decidable", "moved apart before the start"),
    ],
)
def test_other_campaigns_are_not(
    effect: float, trend: float, polarity: float, decision: str, words: str
) -> None:
    log = log_of(panel(effect=effect, trend=trend)[0], polarity)
    found = analyse_campaign(parse_campaign(PLAN), log)
    assert found.decision == decision
    assert words in found.reasons[0]


def test_a_campaign_by_synthetic_control() -> None:
    one = (
        PLAN.replace('["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"]', '["t0"]')
        + 'method = "synthetic-control"\n'
    )
    sales, _ = panel(effect=12.0)
    found = analyse_campaign(
        parse_campaign(one),
        log_of(sales).filter((pl.col("item_id") == "t0") | pl.col("item_id").str.starts_with("c")),
    )
    assert found.synthetic is not None
    assert found.synthetic.effect == pytest.approx(12, abs=2)
    assert found.decision == "ship"
    assert found.sentiment is None


def test_the_panel_is_of_periods_and_counts_every_unit() -> None:
    sales, _ = panel()
    plan = parse_campaign(
        PLAN.replace("num_periods_before = 28", "num_periods_before = 4\nperiod_days = 7")
    )
    found = sales_panel(plan, log_of(sales))
    whole = np.maximum(0, sales.round())
    weekly = whole.reshape(40, 6, 7).sum(2)
    order = [int(unit[1:]) for unit in found.units]
    assert np.array_equal(found.sales_UP, weekly[order])
    assert found.num_before == 4
    assert [unit[0] == "t" for unit in found.units] == found.is_treated_U.tolist()


def test_units_that_seldom_sell_show_no_effect_where_there_is_none() -> None:
    plan = parse_campaign(PLAN.replace("2026-09-15", "2026-09-29"))
    effects = []
    for seed in range(40):
        sales = np.random.default_rng(seed).poisson(0.02, (100, 56)).astype(float)
        found = sales_panel(plan, log_of(sales))
        change_U = found.sales_UP[:, 28:].mean(1) - found.sales_UP[:, :28].mean(1)
        is_treated = found.is_treated_U
        effects.append(change_U[is_treated].mean() - change_U[~is_treated].mean())
    error = np.std(effects, ddof=1) / math.sqrt(len(effects))
    assert abs(np.mean(effects)) < 2.6 * error


def test_treated_units_that_are_nowhere_are_told() -> None:
    log = log_of(panel(effect=8.0)[0])
    found = analyse_campaign(parse_campaign(PLAN.replace('"t9"', '"t9", "typo"')), log)
    assert "1 of 11 treated units, such as 'typo', are nowhere in the log" in found.reasons[-1]
    with pytest.raises(ExperimentLogError, match="no treated unit is in the column item_id"):
        analyse_campaign(parse_campaign(PLAN), log.filter(pl.col("item_id").str.starts_with("c")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("treated = [", "typo = ["), "unknown key typo"),
        (("2026-09-15", "2026-08-15"), "must be after start"),
        (("num_periods_before = 28", "num_periods_before = 2"), "num_periods_before = 2"),
        (('value = "count"', 'controls = ["t0"]'), "among both treated and controls"),
    ],
)
def test_mistakes_in_a_campaign_are_named(change: tuple[str, str], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        parse_campaign(PLAN.replace(*change))


def test_logs_that_cannot_tell_are_refused() -> None:
    log = log_of(panel()[0])
    with pytest.raises(ExperimentLogError, match="no column item_id"):
        analyse_campaign(parse_campaign(PLAN), log.drop("item_id"))
    none = PLAN[: PLAN.index("treated")] + PLAN[PLAN.index("num_periods") :]
    with pytest.raises(ExperimentLogError, match="no unit is treated"):
        analyse_campaign(parse_campaign(none), log)
    with pytest.raises(ExperimentLogError, match="0 units are controls"):
        analyse_campaign(parse_campaign(PLAN), log.filter(pl.col("item_id").str.starts_with("t")))
