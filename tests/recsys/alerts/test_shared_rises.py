"""What rises with a category is no news of an item; one broken item is no rise of a category."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.alerts.config import AlertConfig
from recsys.alerts.counts import Counts, Levels
from recsys.alerts.evidence import onset_evidence
from recsys.alerts.shared_rises import category_shift

CONFIG = AlertConfig()
_NUM, _BEFORE = 20, 100


def siblings(bad: list[list[int]], num: int = _NUM) -> tuple[Counts, Counts]:
    """Return items of one category, with so many negative reviews a day, and the category."""
    bad_SD = np.array(bad)
    own = Counts(
        num_SD=np.full_like(bad_SD, num),
        bad_SD=bad_SD,
        num_before_S=np.full(len(bad), _BEFORE),
        bad_before_S=np.full(len(bad), _BEFORE // 10),
    )
    total = Counts(
        num_SD=own.num_SD.sum(axis=0, keepdims=True),
        bad_SD=own.bad_SD.sum(axis=0, keepdims=True),
        num_before_S=own.num_before_S.sum(keepdims=True),
        bad_before_S=own.bad_before_S.sum(keepdims=True),
    )
    return own, total


def test_what_is_wrong_with_a_whole_category_is_no_news_of_an_item() -> None:
    calm, bad = siblings([[2, 18], *[[2, 2]] * 5]), siblings([[2, 18], *[[14, 14]] * 5])
    level = Levels(mean_S=np.full(6, 0.1), strength_S=np.full(6, 20.0), most_S=np.full(6, 1e6))
    evidence = []
    for own, category in (calm, bad):
        shift = category_shift(own, np.zeros(6, dtype=np.int64), category)
        evidence.append(onset_evidence(own, level, CONFIG, shift)[0, 1])
        assert shift.shape == (6, 2)
    assert category_shift(calm[0], np.zeros(6, dtype=np.int64), calm[1])[0].max() == 0.0
    assert evidence[1] + 3 < evidence[0]


def test_one_broken_item_is_no_rise_of_its_category() -> None:
    own, category = siblings([[2, 18], *[[2, 2]] * 4])
    assert category_shift(own, np.zeros(5, dtype=np.int64), category).max() == 0.0
    two, category = siblings([[2, 18], [2, 18], *[[2, 2]] * 3])
    assert category_shift(two, np.zeros(5, dtype=np.int64), category)[2, 1] > 0.0


def test_without_a_category_nothing_rises() -> None:
    own, category = siblings([[20, 20], [20, 20]])
    none = category.rows(np.zeros(0, dtype=np.int64))
    assert category_shift(own, np.array([-1, -1]), none).tolist() == [[0.0, 0.0]] * 2


@given(
    bad=st.lists(st.lists(st.integers(0, _NUM), min_size=3, max_size=3), min_size=1, max_size=6),
    parents=st.lists(st.integers(-1, 1), min_size=6, max_size=6),
)
def test_shifts_are_never_below_0(bad: list[list[int]], parents: list[int]) -> None:
    own, category = siblings(bad)
    # The second category is smaller than its items: some of its days were set aside.
    both = Counts(
        num_SD=np.concatenate([category.num_SD, category.num_SD // 4]),
        bad_SD=np.concatenate([category.bad_SD, category.bad_SD // 4]),
        num_before_S=np.repeat(category.num_before_S, 2),
        bad_before_S=np.repeat(category.bad_before_S, 2),
    )
    own_S = np.array(parents[: len(bad)])
    shift = category_shift(own, own_S, both)
    assert np.isfinite(shift).all()
    assert (shift >= 0).all()
    assert (shift[own_S < 0] == 0).all()
