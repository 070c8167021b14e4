"""What a rise is: who wrote it, in which words, and how it began."""

import itertools
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from recsys.alerts.kinds import (
    BAD_BATCH,
    BOMBING,
    CONTACT,
    DRIFT,
    INSPECT,
    LISTING,
    REVIEWS,
    STOP,
    SUPPLIER,
    action_of,
    gradual,
    kind_of,
)
from recsys.alerts.near_duplicates import near_duplicates
from recsys.alerts.suspicion import suspicion

USUAL = {"near_duplicate": 0.03, "new_account": 0.05, "unverified": 0.1, "not_bought": 0.02}
DIFFERENT = (
    "The hinge snapped off after two weeks of light use.",
    "Stopped charging on the third day and never came back.",
    "Colour faded in the wash although I followed the label.",
    "It arrived with a crack and support did not answer me.",
    "Far too loud for a bedroom, I had to send it back.",
    "The lid does not close any more since the last update.",
)


def reviews(texts: Sequence[str], days: list[int], **traits: bool | None) -> pl.DataFrame:
    named = {name: [traits.get(name)] * len(texts) for name in USUAL if name != "near_duplicate"}
    schema = dict.fromkeys(named, pl.Boolean)
    return pl.DataFrame({"text": texts, "heard_day": days, **named}, schema_overrides=schema)


def test_texts_that_differ_in_a_word_or_two_are_near_duplicates() -> None:
    texts = [
        "This is a total scam, do not buy from these people.",
        "This is a total scam, do not buy from those people!",
        *DIFFERENT,
        "千万不要买这个东西质量太差",
        "千万不要买这个东西质量太差了",
        "bad",
        "bad",
        None,
    ]
    found = near_duplicates(texts)
    assert np.flatnonzero(found).tolist() == [0, 1, 8, 9]
    assert near_duplicates([]).tolist() == []


@given(st.lists(st.one_of(st.none(), st.text(max_size=60)), max_size=12), st.randoms())
def test_the_order_of_texts_does_not_matter(texts: list[str | None], random: object) -> None:
    order = list(range(len(texts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = near_duplicates([texts[place] for place in order])
    np.testing.assert_array_equal(moved, near_duplicates(texts)[order])


def test_a_bombing_takes_more_than_one_trait() -> None:
    same = ["This is a total scam, do not buy from these people."] * 12
    days = [100] * 12
    honest = {"new_account": False, "unverified": False, "not_bought": False}
    made_up = {"new_account": True, "unverified": True, "not_bought": True}
    bombing = suspicion(reviews(same, days, **made_up), USUAL, expected_a_day=0.1)
    assert bombing.probability > 0.99
    assert bombing.is_suspicious.all()
    assert bombing.burst_p < 1e-6
    batch: list[str] = [*DIFFERENT]
    sold = suspicion(
        reviews(batch, [100, 102, 105, 107, 110, 112], **honest), USUAL, expected_a_day=0.3
    )
    assert sold.probability < 0.05
    assert not sold.is_suspicious.any()
    lonely = suspicion(
        reviews(batch, [100, 104, 108, 112, 116, 120], **honest | {"unverified": True}),
        USUAL,
        expected_a_day=0.3,
    )
    assert lonely.probability < 0.5
    unknown = suspicion(reviews(batch, [100] * 6), USUAL, expected_a_day=0.3)
    assert unknown.shares["not_bought"] is None
    assert unknown.probability < 0.5


def test_steps_and_ramps_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    day = np.sort(rng.integers(0, 90, size=300))
    step = rng.random(300) < np.where(day >= 45, 0.7, 0.1)
    ramp = rng.random(300) < 0.1 + 0.7 * np.clip((day - 20) / 56, 0, 1)
    assert gradual(day, step, 0.1) < 0 < gradual(day, ramp, 0.1)
    assert gradual(day[:0], step[:0], 0.1) == 0.0


@given(
    told=st.lists(st.tuples(st.integers(0, 130), st.booleans()), min_size=1, max_size=25),
    expected=st.floats(0.02, 0.9),
)
def test_counting_by_day_is_counting_reviews(told: list[tuple[int, bool]], expected: float) -> None:
    told = sorted(told)
    day = np.array([one[0] for one in told])
    is_negative = np.array([one[1] for one in told])

    def best(length: int) -> float:
        found = []
        for start, factor in itertools.product(np.unique(day), (1.5, 2, 3, 5, 8, 12, 20, 40)):
            risen = (day >= start) * np.minimum(1.0, (day - start + (length == 1)) / length)
            share = expit(logit(expected) + np.log(factor) * risen)
            found.append(np.log(np.where(is_negative, share, 1 - share)).sum())
        return max(found)

    wanted = max(best(length) for length in (28, 42, 56, 84)) - best(1)
    assert gradual(day, is_negative, expected) == pytest.approx(wanted, abs=1e-6)


def test_kinds_and_what_to_do() -> None:
    assert kind_of(bombing=0.9, gradual=5.0, days_since=60) == BOMBING
    assert kind_of(bombing=0.1, gradual=5.0, days_since=60) == DRIFT
    assert kind_of(bombing=0.1, gradual=5.0, days_since=5) == BAD_BATCH
    assert kind_of(bombing=0.1, gradual=-1.0, days_since=60) == BAD_BATCH
    cases = {
        (BOMBING, None, 0.9, 5): REVIEWS,
        (BAD_BATCH, "size", 0.9, 5): LISTING,
        (BAD_BATCH, "delivery", 0.9, 5): CONTACT,
        (BAD_BATCH, "durability", 0.9, 5): STOP,
        (BAD_BATCH, "durability", 0.2, 5): INSPECT,
        (DRIFT, None, 0.9, 5): SUPPLIER,
    }
    assert {case: action_of(*case) for case in cases} == cases


@pytest.mark.parametrize("num", [1, 5, 40])
def test_probabilities_are_ones(num: int) -> None:
    found = suspicion(reviews(["x"] * num, [1] * num), USUAL, expected_a_day=1e-3)
    assert 0 <= found.probability <= 1
    assert 0 < found.burst_p <= 1
