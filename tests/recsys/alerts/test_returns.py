"""What is sent back is evidence, of people who have not reviewed, and has a mean of 1 by chance."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nbinom

from recsys.alerts.config import AlertConfig
from recsys.alerts.counts import Counts, Levels
from recsys.alerts.evidence import onset_evidence
from recsys.alerts.opinions import day_of, opinions
from recsys.alerts.returns import Returns, returns_of

CONFIG = AlertConfig()
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = day_of(START)
_SALES = {
    "item_id": pl.String(),
    "day": pl.Int32(),
    "left_day": pl.Int32(),
    "returned": pl.Boolean(),
}


Sale = tuple[str, int, int | None, bool]


def sales(rows: list[Sale]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_SALES, orient="row")


def of_items(rows: list[Sale], day: int) -> Returns:
    place = pl.DataFrame({"item_id": ["a", "b"], "key": ["a", "b"], "s": [0, 1]})
    return returns_of(sales(rows), place, 2, first=0, day=day)


def evidence(
    num: np.ndarray, expected: float, num_before: int, expected_before: float
) -> np.ndarray:
    """Return the log e-value of each number of returns."""
    size = len(num)
    none = np.zeros((size, 1), dtype=np.int64)
    counts = Counts(num_SD=none, bad_SD=none, num_before_S=none[:, 0], bad_before_S=none[:, 0])
    level = Levels(
        mean_S=np.full(size, 0.2), strength_S=np.full(size, 10.0), most_S=np.full(size, 1000.0)
    )
    returned = Returns(
        num_SD=num[:, None],
        expected_SD=np.full((size, 1), expected),
        num_before_S=np.full(size, num_before),
        expected_before_S=np.full(size, expected_before),
        shop_D=np.ones(1),
        strength=4.0,
    )
    return onset_evidence(counts, level, CONFIG, returned=returned)[:, 0]


@given(expected=st.floats(0.05, 8), num_before=st.integers(0, 20), before=st.floats(1, 30))
def test_its_mean_is_1_where_nothing_changed(
    expected: float, num_before: int, before: float
) -> None:
    num = np.arange(4000)
    total = weight = 0.0
    for prior, shape, rate in ((0.95, 4.0, 4.0), (0.05, 1.0, 0.3)):
        past = prior * nbinom.pmf(num_before, shape, rate / (rate + before))
        a, b = shape + num_before, rate + before
        likely = nbinom.pmf(num, a, b / (b + expected))
        total += past * likely
        weight += past
    ratio = np.exp(evidence(num, expected, num_before, before))
    assert np.sum(total * ratio) / weight == pytest.approx(1.0, abs=5e-3)


def test_more_returns_than_expected_are_evidence() -> None:
    none, many = evidence(np.array([0, 6]), 0.8, 4, 5.0)
    assert none < 0
    assert many > 4
    assert evidence(np.array([0]), 0.0, 0, 0.0).tolist() == [0.0]


def test_sales_are_at_risk_until_something_is_heard() -> None:
    rows = [
        ("a", 0, 5, True),
        ("a", 0, None, False),
        ("b", 0, 5, False),
        ("b", 0, 9, True),
        ("b", 6, None, False),
    ]
    found = of_items(rows, day=8)
    # Of five sales four were five days old, one of which came back; the rest is not known yet.
    assert found.num_SD.sum(axis=1).tolist() == [1.0, 0.0]
    assert found.expected_SD.sum(axis=1) == pytest.approx([0.5, 0.5])
    assert found.expected_SD.sum() == pytest.approx(found.num_SD.sum())
    assert found.expected_SD[1, 6] == 0.0
    later = of_items(rows, day=9)
    assert later.num_SD.sum(axis=1).tolist() == [1.0, 1.0]


def test_days_that_are_set_aside_are_left_out() -> None:
    place = pl.DataFrame({"item_id": ["a"], "key": ["a"], "s": [0]})
    aside = pl.DataFrame({"key": ["a"], "first": [3], "last": [4]})
    rows: list[Sale] = [("a", 2, 5, True), ("a", 3, 5, True)]
    found = returns_of(sales(rows), place, 1, first=0, day=9, set_aside=aside)
    assert found.num_SD.sum() == 1.0
    nothing = returns_of(sales([]), place, 1, first=0, day=9)
    assert (nothing.num_SD.sum(), nothing.expected_SD.sum()) == (0.0, 0.0)


def test_who_has_sent_a_thing_back_is_not_heard_twice() -> None:
    events = [
        ("u1", "purchase", 0),
        ("u1", "return", 3),
        ("u2", "purchase", 1),
        ("u2", "return", 9),
        ("u3", "purchase", 2),
    ]
    time = pl.Datetime("us", "UTC")
    log = pl.DataFrame(
        {
            "user_id": [row[0] for row in events],
            "item_id": ["a"] * len(events),
            "event_type": [row[1] for row in events],
            "event_time": [START + timedelta(days=row[2], hours=6) for row in events],
        },
        schema_overrides={"event_time": time},
    )
    reviews = pl.DataFrame(
        {
            "review_id": ["r1", "r2"],
            "user_id": ["u1", "u2"],
            "item_id": ["a", "a"],
            "event_time": [START + timedelta(days=5), START + timedelta(days=6)],
            "seq": [0, 1],
            "rating": [1.0, 1.0],
            "source": ["review", "review"],
        },
        schema_overrides={"event_time": time},
    )
    signals = pl.LazyFrame(
        schema={
            "review_id": pl.String(),
            "polarity": pl.Float32(),
            "embedding": pl.List(pl.Float32()),
            "aspects": pl.List(pl.Struct({"aspect": pl.String(), "polarity": pl.Float32()})),
        }
    )
    heard = opinions(reviews.lazy(), signals, log.lazy())
    assert heard.judged["after_return"].to_list() == [True, False]
    assert heard.sales.rows() == [
        ("a", DAY, DAY + 3, True),
        ("a", DAY + 1, DAY + 6, False),
        ("a", DAY + 2, None, False),
    ]
    assert heard.without_items(["a"]).sales.is_empty()
    days = pl.DataFrame({"key": ["a"], "first": [DAY], "last": [DAY + 1]})
    assert len(heard.without_days(days).sales) == 1
    assert opinions(reviews.lazy(), signals).sales.is_empty()
