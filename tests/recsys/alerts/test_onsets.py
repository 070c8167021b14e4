"""Onsets are days with reviews, within their own intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.alerts.blocks import Block
from recsys.alerts.config import AlertConfig
from recsys.alerts.evidence import Counts, Levels, onset_evidence
from recsys.alerts.onsets import datable_days, onsets

DAYS = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=40)


def evidence_of(days: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return evidence and reviews, of reviews by day and the share of negative ones."""
    num = np.array([[num for num, _ in days]])
    counts = Counts(
        num_SD=num,
        bad_SD=np.array([[round(num * share) for num, share in days]]),
        num_before_S=np.array([0]),
        bad_before_S=np.array([0]),
    )
    levels = Levels(mean_S=np.array([0.2]), strength_S=np.array([20.0]), most_S=np.array([1000.0]))
    return onset_evidence(counts, levels, AlertConfig()), num


@given(days=DAYS, certainty=st.floats(0.05, 0.99))
def test_an_onset_lies_within_its_interval_and_on_a_day_with_reviews(
    days: list[tuple[int, float]], certainty: float
) -> None:
    evidence, num = evidence_of(days)
    if not num.any():
        with pytest.raises(ValueError, match="days with reviews"):
            onsets(evidence, num, certainty=certainty)
        return
    dated = onsets(evidence, num, certainty=certainty)
    assert dated.low[0] <= dated.likeliest[0] <= dated.high[0]
    assert num[0, [dated.low[0], dated.likeliest[0], dated.high[0]]].all()


@given(
    evidence=st.lists(st.floats(-30, 700), min_size=1, max_size=30),
    heard=st.sets(st.integers(0, 29), min_size=1),
)
def test_so_it_does_whatever_the_evidence(evidence: list[float], heard: set[int]) -> None:
    num = np.array([[int(day in heard) for day in range(len(evidence))]])
    num[0, 0] |= not num.any()
    dated = onsets(np.array([evidence]), num)
    assert dated.low[0] <= dated.likeliest[0] <= dated.high[0]
    assert num[0, [dated.low[0], dated.likeliest[0], dated.high[0]]].all()


@given(days=DAYS, cut=st.tuples(st.integers(0, 39), st.integers(1, 39)))
def test_the_days_of_a_block_end_with_a_review(
    days: list[tuple[int, float]], cut: tuple[int, int]
) -> None:
    num = np.array([num for num, _ in days])
    first = min(cut[0], len(days) - 1)
    block = Block(0, first, min(first + cut[1], len(days)))
    if not num[first:].any():
        with pytest.raises(ValueError, match="cannot be dated"):
            datable_days(num, block)
        return
    datable = datable_days(num, block)
    assert datable.start == first
    assert datable.stop >= block.end
    assert num[datable].any()
    assert not num[block.end : datable.stop - 1].any()


def test_a_block_without_a_review_is_dated_by_the_next_one() -> None:
    evidence, num = evidence_of([(0, 0.0)] * 6 + [(3, 1.0), (3, 1.0)])
    datable = datable_days(num[0], Block(0, 0, 4))
    assert datable == slice(0, 7)
    dated = onsets(evidence[:, datable], num[:, datable])
    assert (dated.low[0], dated.likeliest[0], dated.high[0]) == (6, 6, 6)
