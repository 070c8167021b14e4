"""What a rise is: a bad batch, a drift, or a bombing by reviews; and what to do about it.

A bad batch begins at once, by the day on which the reviewed things were bought; a drift gets there
slowly. The two are held against each other as a step and a ramp of the log odds, each at its best.

Shape suffixes: N reviews, D days, T days on which a rise can begin, L days of a ramp, G gains.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import log_expit, logit

BAD_BATCH, BOMBING, DRIFT = "bad_batch", "review_bombing", "drift"
KINDS = (BAD_BATCH, BOMBING, DRIFT)
STOP, INSPECT, LISTING, REVIEWS, CONTACT, SUPPLIER = (
    "stop_sale_and_inspect_batch",
    "inspect_batch",
    "fix_listing",
    "investigate_reviews",
    "contact_buyers",
    "review_supplier",
)
ACTIONS = (STOP, INSPECT, LISTING, REVIEWS, CONTACT, SUPPLIER)
# What a better description cures, and what no batch is to blame for.
_OF_LISTING = frozenset({"size", "fit", "description", "design", "print", "portions", "price"})
_OF_HANDLING = frozenset({"delivery", "packaging", "service"})
_STOP_SHARE = 0.5
_STEP_GAINS = np.log(np.array([1.5, 2, 3, 5, 8, 12, 20, 40]))
_RAMP_DAYS = (28, 42, 56, 84)


def gradual(day_N: np.ndarray, is_negative_N: np.ndarray, expected: float) -> float:
    """Return by how much a ramp explains the reviews better than a step, in log likelihood.

    Step: log odds + g from a day on. Ramp: + g min(1, days since / length). The day, g and the
    length are those that fit best.

    Args:
        day_N: Days on which the reviewed things were bought, sorted.
        is_negative_N: What was said of them, bool.
        expected: Share of negative reviews before.
    """
    if not len(day_N):
        return 0.0
    base = float(logit(np.clip(expected, 1e-3, 1 - 1e-3)))
    place_N = day_N - day_N[0]
    num_D = np.bincount(place_N)
    bad_D = np.bincount(place_N, weights=is_negative_N)
    step = _best(base, 1, num_D, bad_D)
    return max(_best(base, length, num_D, bad_D) for length in _RAMP_DAYS) - step


def kind_of(*, bombing: float, gradual: float, days_since: int) -> str:
    """Return the kind of a rise.

    Args:
        bombing: Probability of a bombing.
        gradual: Of `gradual`.
        days_since: Days from the onset to now: what is young cannot be told to be slow.
    """
    if bombing >= 0.5:
        return BOMBING
    return DRIFT if gradual > 0 and days_since >= 14 else BAD_BATCH


def action_of(kind: str, aspect: str | None, share_since: float, num_buyers: int) -> str:
    """Return what to do first.

    Args:
        kind: Of `KINDS`.
        aspect: That is complained of, None for the whole.
        share_since: Share of negative reviews (of complaints of the aspect) since the onset.
        num_buyers: People who bought since then.
    """
    if kind == BOMBING:
        return REVIEWS
    if aspect in _OF_LISTING:
        return LISTING
    if aspect in _OF_HANDLING:
        return CONTACT if num_buyers else SUPPLIER
    if kind == DRIFT:
        return SUPPLIER
    return STOP if share_since >= _STOP_SHARE else INSPECT


def _best(base: float, length: int, num_D: np.ndarray, bad_D: np.ndarray) -> float:
    """Return the log likelihood of the ramp that fits best; a step takes its one day at once.

    Days are counted together, and of each start only those of the ramp itself one by one: what is
    before has the old level and what is behind the new one, each a sum that is made once.
    """
    starts_T = np.flatnonzero(num_D)
    good_D = num_D - bad_D
    rise_L = np.ones(1) if length == 1 else np.arange(length) / length
    odds_GL = base + _STEP_GAINS[:, None] * rise_L
    none = np.zeros(length)
    bad_TL, good_TL = (
        sliding_window_view(np.concatenate([of_D, none]), length)[starts_T]
        for of_D in (bad_D, good_D)
    )
    on_ramp_TG = bad_TL @ log_expit(odds_GL).T + good_TL @ log_expit(-odds_GL).T
    before_T = _log_likelihood(base, bad_D, good_D)[starts_T]
    new_GD = _log_likelihood(base + _STEP_GAINS[:, None], bad_D, good_D)
    behind_T = np.minimum(starts_T + length, len(num_D))
    behind_GT = new_GD[:, -1:] - new_GD[:, behind_T]
    return float((before_T[:, None] + on_ramp_TG + behind_GT.T).max())


def _log_likelihood(odds: float | np.ndarray, bad_D: np.ndarray, good_D: np.ndarray) -> np.ndarray:
    """Return the log likelihood of all days before each, and of all, at one level."""
    log_D = bad_D * log_expit(odds) + good_D * log_expit(-np.asarray(odds))
    return np.concatenate([np.zeros((*log_D.shape[:-1], 1)), log_D.cumsum(axis=-1)], axis=-1)
