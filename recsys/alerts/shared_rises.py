"""What rose with the rest of a category: it is no news of one of its items.

Shape suffixes: S series, D days of the window (each a possible onset).
"""

import numpy as np
from scipy.special import logit

from recsys.alerts.counts import Counts

_LEAST_SHARE = 1e-4
_STRENGTH = 20.0
_ERRORS = 1.0


def category_shift(counts: Counts, own_S: np.ndarray, others: Counts) -> np.ndarray:
    """Return by how much the log odds of a negative review rose in the rest of the category.

    The rest is the category without the series itself and without the sibling that has the most
    negative reviews beyond what was to be expected: one broken item is no rise of its category.
    Of k of n reviews of the rest since a day, and p of those before, the rise is that of
    (k + 20 p) / (n + 20) against p, less one standard error of it: chance is no rise either. Falls
    are left out. So the evidence of a series can only be lower than without a category.

    Args:
        counts: Of the series.
        own_S: Row of each series' category in `others`, -1 for none, shape (S,).
        others: Of categories.

    Returns:
        0 and above, shape (S, D).
    """
    has = own_S >= 0
    if not has.any():
        return np.zeros(counts.num_SD.shape)
    row = np.where(has, own_S, 0)
    num, bad = _rest(others.since(), row, counts.since())
    num_past, bad_past = _rest(others.until(), row, counts.until())
    past = np.clip((bad_past + 1.0) / (num_past + 4.0), _LEAST_SHARE, 1 - _LEAST_SHARE)
    worst_num, worst_bad = _worst_sibling(counts.since(), own_S, past)
    # Of a category whose days were set aside less may be left than of a sibling.
    num = np.maximum(0, num - worst_num)
    bad = np.clip(bad - worst_bad, 0, num)
    strength = num + _STRENGTH
    now = np.clip((bad + _STRENGTH * past) / strength, _LEAST_SHARE, 1 - _LEAST_SHARE)
    error = 1.0 / np.sqrt(strength * now * (1 - now))
    rise = logit(now) - logit(past) - _ERRORS * error
    return np.where(has[:, None], np.maximum(0.0, rise), 0.0)


def _rest(
    theirs: tuple[np.ndarray, np.ndarray], row: np.ndarray, own: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return reviews and negative ones of the others; none below 0 where days were set aside."""
    num, bad = (np.maximum(0, of[row] - mine) for of, mine in zip(theirs, own, strict=True))
    return np.maximum(num, bad), bad


def _worst_sibling(
    since: tuple[np.ndarray, np.ndarray], own_S: np.ndarray, past_SD: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return reviews and negative ones, since each day, of each series' worst sibling.

    Zero where no sibling has more negative ones than `past_SD` leads to expect.
    """
    num_SD, bad_SD = since
    found_num, found_bad = np.zeros_like(num_SD), np.zeros_like(bad_SD)
    days = np.arange(num_SD.shape[1])
    for parent in np.unique(own_S[own_S >= 0]).tolist():
        mine = np.flatnonzero(own_S == parent)
        if len(mine) < 2:
            continue
        num, bad = num_SD[mine], bad_SD[mine]
        beyond = bad - num * past_SD[mine]
        first, second = np.argsort(-beyond, axis=0, kind="stable")[:2]
        at = np.where(np.arange(len(mine))[:, None] == first, second, first)
        is_worse = beyond[at, days] > 0
        found_num[mine] = np.where(is_worse, num[at, days], 0)
        found_bad[mine] = np.where(is_worse, bad[at, days], 0)
    return found_num, found_bad
