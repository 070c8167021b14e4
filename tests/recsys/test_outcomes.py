"""Outcomes over a shop of known habits: strict in time, told better than by chance, refused."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from whole_rows import whole

from features.schema import TABLES
from recsys.errors import NotEnoughDataError
from recsys.outcomes import OURS, OutcomeQuestion, back_test, fit_outcome, outcome_rows
from recsys.propensity import PropensityConfig, feature_matrix
from recsys.world import ShopTables

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=120)
CONFIG = PropensityConfig(max_trees=40)
QUESTION = OutcomeQuestion(outcome="purchase", horizon_days=10, num_times=3, every_days=10)


@pytest.fixture(scope="module")
def tables() -> ShopTables:
    """Two hundred users; the more somebody views, the more they buy. Half stop half-way."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(200):
        eagerness = rng.gamma(1.0, 0.15)
        until = 60 if user % 2 else 130
        for at in range(until):
            for kind, rate in (("view", 2 * eagerness), ("purchase", eagerness / 2)):
                if rng.random() < rate:
                    rows.append((f"u{user}", kind, START + timedelta(days=at, hours=12)))
    events = pl.DataFrame(
        {
            "event_id": [f"e{n}" for n in range(len(rows))],
            "user_id": [row[0] for row in rows],
            "item_id": ["i"] * len(rows),
            "event_type": [row[1] for row in rows],
            "event_time": [row[2] for row in rows],
            "seq": list(range(len(rows))),
        }
    )
    return ShopTables(
        items=TABLES["items"].create_empty(),
        events=pl.concat([TABLES["events"].create_empty(), whole(events, "events")]),
        reviews=TABLES["reviews"].create_empty(),
        signals=TABLES["review_signals"].create_empty(),
    )


def test_what_comes_after_now_changes_no_model(tables: ShopTables) -> None:
    future = whole(
        pl.DataFrame(
            {
                "event_id": [f"late{n}" for n in range(300)],
                "user_id": [f"u{n % 150}" for n in range(300)],
                "item_id": ["i"] * 300,
                "event_type": ["purchase"] * 300,
                "event_time": [NOW + timedelta(hours=n) for n in range(300)],
                "seq": list(range(300)),
            }
        ),
        "events",
    )
    later = ShopTables(
        items=tables.items,
        events=pl.concat([tables.events, future]),
        reviews=tables.reviews,
        signals=tables.signals,
    )
    one, other = (fit_outcome(t, QUESTION, now=NOW, config=CONFIG) for t in (tables, later))
    assert one == other


def test_rows_know_their_time_and_no_more(tables: ShopTables) -> None:
    times = QUESTION.times(NOW, START)
    assert times == [START + timedelta(days=days) for days in (90, 100, 110)]
    rows = outcome_rows(tables, QUESTION, times)
    some = rows.filter((pl.col("user_id") == "u0") & (pl.col("as_of") == times[1]))
    before = tables.events.filter((pl.col("user_id") == "u0") & (pl.col("event_time") < times[1]))
    assert some["num_views"].item() == (before["event_type"] == "view").sum()
    horizon = pl.col("event_time").is_between(times[1], times[2], closed="left")
    bought = tables.events.filter(
        (pl.col("user_id") == "u0") & horizon & (pl.col("event_type") == "purchase")
    )
    assert some["label"].item() == int(len(bought) > 0)


def test_habits_are_told_beforehand(tables: ShopTables) -> None:
    test = back_test(tables, QUESTION, [START + timedelta(days=110)], config=CONFIG)
    ours = test.figures[OURS]
    assert ours.auc > 0.8
    assert ours.calibration_error < 0.1
    assert ours.predicted_to_actual == pytest.approx(1.0, abs=0.3)
    assert 0 < test.num_outcomes < test.num_asked
    assert test.gains.keys() == {"RFM, logistic", "RFM, trees"}


def test_churn_is_asked_of_customers_only(tables: ShopTables) -> None:
    question = OutcomeQuestion(outcome="churn", horizon_days=20, num_times=2, every_days=10)
    model = fit_outcome(tables, question, now=NOW, config=CONFIG)
    rows = outcome_rows(tables, question, [START + timedelta(days=100)])
    assert (rows["num_purchases"] > 0).all()
    told = model.predict(feature_matrix(rows))
    gone = rows["label"].to_numpy() == 1
    assert told[gone].mean() > told[~gone].mean() + 0.2


def test_a_short_past_is_refused(tables: ShopTables) -> None:
    with pytest.raises(NotEnoughDataError, match="events must reach further back than that"):
        fit_outcome(tables, QUESTION, now=START + timedelta(days=9))
    with pytest.raises(ValueError, match="are at least 1"):
        OutcomeQuestion(outcome="churn", horizon_days=0)
