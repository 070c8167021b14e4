"""What a rise is: a bad batch, a drift, or a bombing by reviews; and what to do about it.

A bad batch begins at once, by the day on which the reviewed things were bought; a drift gets there
slowly. The two are held against each other as a step and a ramp of the log odds, each at its best.

Shape suffix: N reviews.
"""

import numpy as np
from scipy.special import expit, log1p, logit, xlogy

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
_RAMP_DAYS = (28.0, 42.0, 56.0, 84.0)


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
    base = logit(np.clip(expected, 1e-3, 1 - 1e-3))
    starts = np.unique(day_N)
    since_TN = (day_N[None, :] - starts[:, None]).astype(np.float64)
    step = _best(base, (since_TN >= 0).astype(np.float64), is_negative_N)
    ramps = [
        _best(base, np.clip(since_TN / length, 0.0, 1.0), is_negative_N) for length in _RAMP_DAYS
    ]
    return float(max(ramps) - step)


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


def _best(base: float, shape_TN: np.ndarray, is_negative_N: np.ndarray) -> float:
    odds = base + shape_TN[None] * _STEP_GAINS[:, None, None]
    share = expit(odds)
    log_TN = xlogy(is_negative_N, share) + np.where(is_negative_N, 0.0, log1p(-share))
    return float(log_TN.sum(axis=2).max())
