"""Exposures joined with what followed: what belongs to which, and what it is worth."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from features.schema import Events, Exposures
from recsys.errors import LogError
from recsys.off_policy import build_log
from recsys.off_policy.exposure_rows import Attribution, ExposureRows, exposure_rows
from sentiment.schema import Reviews

START = datetime(2026, 1, 1, tzinfo=UTC)
NO_SIGNALS = pl.DataFrame(schema={"review_id": pl.String, "polarity": pl.Float32})


def _frame(rows: list[dict], empty: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([{c: r.get(c) for c in empty.columns} for r in rows], schema=empty.schema)


def exposure(name: str, items: str, day: float, user: str | None = "u") -> dict:
    return {
        "recommendation_id": name,
        "user_id": user,
        "policy_propensity": 1.0,
        "model_version": "m",
        "items": [
            {"item_id": item, "rank": rank, "score": 1.0, "propensity": 0.5, "source": "s"}
            for rank, item in enumerate(items, 1)
        ],
        "candidates": list("abc"),
        "event_time": START + timedelta(days=day),
        "seq": 0,
    }


def event(kind: str, item: str, day: float, user: str = "u") -> dict:
    return {
        "event_id": f"{kind}{item}{day}",
        "user_id": user,
        "item_id": item,
        "event_type": kind,
        "event_time": START + timedelta(days=day),
        "seq": 0,
    }


def review(name: str, item: str, day: float, rating: float | None, source: str = "review") -> dict:
    return {
        "review_id": name,
        "user_id": "u",
        "item_id": item,
        "rating": rating,
        "text": "words",
        "source": source,
        "event_time": START + timedelta(days=day),
        "seq": 0,
    }


def joined(
    exposures: list[dict],
    events: list[dict] | None = None,
    reviews: list[dict] | None = None,
    signals: pl.DataFrame = NO_SIGNALS,
    **attribution: object,
) -> ExposureRows:
    return exposure_rows(
        _frame(exposures, Exposures.create_empty()),
        _frame(events or [], Events.create_empty()),
        _frame(reviews or [], Reviews.create_empty()),
        signals,
        Attribution(**attribution),  # type: ignore[arg-type]
    )


def of(found: ExposureRows, column: str) -> dict[tuple[str, str], float]:
    return {
        (row["list_id"], row["item_id"]): row[column]
        for row in found.rows.iter_rows(named=True)
        if row[column]
    }


def test_an_outcome_belongs_to_the_last_exposure_before_it() -> None:
    shown = [exposure("one", "ab", 0), exposure("two", "bc", 1), exposure("three", "b", 3)]
    events = [event("click", "b", 2), event("click", "a", -1), event("click", "c", 1)]
    assert of(joined(shown, events), "click") == {("two", "b"): 1.0, ("two", "c"): 1.0}


def test_outcomes_after_the_window_or_of_others_do_not_count() -> None:
    shown = [exposure("one", "ab", 0)]
    events = [event("purchase", "a", 7.1), event("purchase", "b", 6.9)]
    events += [event("click", "a", 1, user="v"), event("view", "a", 1)]
    assert of(joined(shown, events), "purchase") == {("one", "b"): 1.0}
    assert of(joined(shown, events), "click") == {}
    assert of(joined(shown, events, window_days=8.0), "purchase") == {
        ("one", "a"): 1.0,
        ("one", "b"): 1.0,
    }


def test_satisfaction_is_the_words_else_the_stars_of_the_last_review_since_the_purchase() -> None:
    shown = [exposure("one", "abc", 0)]
    events = [event("purchase", item, 1) for item in "abc"]
    reviews = [
        review("old", "a", 0.5, 1.0),
        review("first", "a", 2, 1.0),
        review("last", "a", 3, 5.0),
        review("stars", "b", 2, 2.0),
        review("asked", "c", 2, 1.0, source="question"),
    ]
    signals = pl.DataFrame({"review_id": ["last"], "polarity": [0.25]})
    found = joined(shown, events, reviews, signals)
    assert of(found, "satisfaction") == {("one", "a"): 0.25, ("one", "b"): -0.5}
    assert len(of(found, "purchase")) == 3


def test_what_was_sent_back_did_not_satisfy_and_what_is_judged_late_is_not_known() -> None:
    shown = [exposure("one", "ab", 0)]
    events = [event("purchase", "a", 1), event("purchase", "b", 1), event("return", "a", 5)]
    reviews = [review("nice", "a", 2, 5.0), review("late", "b", 70, 5.0)]
    assert of(joined(shown, events, reviews), "satisfaction") == {("one", "a"): -1.0}
    longer = joined(shown, events, reviews, judged_days=80.0)
    assert of(longer, "satisfaction") == {("one", "a"): -1.0, ("one", "b"): 1.0}


def test_exposures_whose_outcome_is_not_known_are_left_out_and_counted() -> None:
    shown = [exposure("one", "a", 0), exposure("two", "a", 5), exposure("who", "a", 0, user=None)]
    found = joined(shown, observed_until=START + timedelta(days=10))
    assert found.rows["list_id"].to_list() == ["one"]
    assert list(found.left_out.values()) == [1, 1]
    assert "window was not over" in list(found.left_out)[1]
    with pytest.raises(LogError, match="no exposure is left to evaluate from: 1 of visitors"):
        joined([exposure("who", "a", 0, user=None)])
    with pytest.raises(LogError, match="the table is empty"):
        joined([])


def test_an_answer_that_stands_twice_is_refused() -> None:
    with pytest.raises(LogError, match="2 of 2 exposures are duplicates, such as 'one'"):
        joined([exposure("one", "a", 0), exposure("one", "b", 1)])


def test_the_rows_are_a_log() -> None:
    events = [event("click", "b", 0.1)]
    found = joined([exposure("one", "ab", 0), exposure("two", "c", 1)], events)
    log = build_log(found.rows, "click")
    assert log.reward.sum() == 1.0
    assert log.has_lists
    assert log.candidate_id is not None
    assert log.candidate_id.tolist() == list("abcabc")
    with pytest.raises(ValueError, match="window_days is 0"):
        Attribution(window_days=0)
    with pytest.raises(ValueError, match="judged_days is inf, wanted above 0 and at most 36,500"):
        Attribution(judged_days=float("inf"))
