"""What was sent back: evidence of a rise beside the reviews, from people who have not written one.

Each sale is at risk from its day on until its buyer sends the thing back or reviews it, whichever
is first. The shop's own hazard of a return by age (returns of an age by sales that reached it) says
how many returns of a subject are to be expected by now; a subject's rate relative to that is gamma
distributed around 1 and known from its past. (The hazard itself is learned from all sales, of
which those of a subject are few.) Given all that happened before, a return is then as
likely as the hazard says, whatever the reviews were; so the likelihood ratio of the returns, a
ratio of counting processes, may be multiplied by that of the reviews, as long as nobody counts in
both: who reviews leaves the risk set, and what somebody writes who has sent the thing back is not
counted among the reviews.

Sources: Andersen, Borgan, Gill and Keiding 1993, "Statistical Models Based on Counting Processes"
(cause-specific hazards, likelihood ratios as martingales).

Shape suffixes: P priors, F factors, S subjects, D days of the window, N sales.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import gammaln

from recsys.alerts.counts import before_each, from_each
from recsys.alerts.expectations import Expectation
from recsys.alerts.opinions import outside

MOST_AGE_DAYS = 60
_LEAST_STRENGTH, _MOST_STRENGTH = 2.0, 100.0
_OF_SHOP = 20.0
_ANY_RATE = (1.0, 0.3)
_LAST_DAYS = 28


@dataclass(frozen=True, kw_only=True)
class Returns:
    """Returns of some subjects by the day of the sale, in the window, and of sales before it.

    Attributes:
        num_SD: Things that were sent back, shape (S, D).
        expected_SD: As many as were to be expected by now, shape (S, D).
        num_before_S: Of sales before the window, shape (S,).
        expected_before_S: As many as were to be expected of these, shape (S,).
        shop_D: By how much returns of the whole shop are above that since each day, at least 1.
        strength: Of how many expected returns it is worth that a subject is as the others.
    """

    num_SD: np.ndarray
    expected_SD: np.ndarray
    num_before_S: np.ndarray
    expected_before_S: np.ndarray
    shop_D: np.ndarray
    strength: float

    def rows(self, rows: np.ndarray | list[int]) -> "Returns":
        """Return those of some subjects."""
        return Returns(
            num_SD=self.num_SD[rows],
            expected_SD=self.expected_SD[rows],
            num_before_S=self.num_before_S[rows],
            expected_before_S=self.expected_before_S[rows],
            shop_D=self.shop_D,
            strength=self.strength,
        )


def returns_of(
    sales: pl.DataFrame,
    place: pl.DataFrame,
    num_subjects: int,
    *,
    first: int,
    day: int,
    set_aside: pl.DataFrame | None = None,
) -> Returns:
    """Count returns as of the end of a day.

    Args:
        sales: `recsys.alerts.opinions.Opinions.sales`; those after the day are not read.
        place: `item_id, key, s`: the subjects that an item counts for, and their numbers.
        num_subjects: S.
        first: The first day of the window, since 1970.
        day: The last one.
        set_aside: `key, first, last`: days of subjects that are left out.
    """
    seen = sales.filter(pl.col("day") <= day)
    left, sold = seen["left_day"].to_numpy(), seen["day"].to_numpy()
    is_here = np.isnan(left) | (left > day)
    age = np.where(is_here, day, np.nan_to_num(left)).astype(np.int64) - sold
    is_back = seen["returned"].to_numpy() & ~is_here & (age <= MOST_AGE_DAYS)
    age = np.minimum(age, MOST_AGE_DAYS)
    told = seen.select("item_id", "day").with_columns(
        back=is_back.astype(np.int64), expected=_expected(age, is_back)
    )
    told = told.join(place, on="item_id", maintain_order="left")
    if set_aside is not None and len(set_aside):
        told = outside(told, set_aside)
    shape = (num_subjects, day + 1 - first)
    at, column = told["s"].to_numpy(), told["day"].to_numpy() - first
    inside = column >= 0
    window, before = [], []
    for name in ("back", "expected"):
        value = told[name].to_numpy().astype(np.float64)
        dense = np.zeros(shape)
        np.add.at(dense, (at[inside], column[inside]), value[inside])
        window.append(dense)
        before.append(
            np.bincount(at[~inside], weights=value[~inside], minlength=num_subjects).astype(float)
        )
    total = [from_each(of.sum(axis=0)) for of in window]
    past = [b + of[:, :-_LAST_DAYS].sum(axis=1) for b, of in zip(before, window, strict=True)]
    return Returns(
        num_SD=window[0],
        expected_SD=window[1],
        num_before_S=before[0],
        expected_before_S=before[1],
        shop_D=np.maximum(1.0, (total[0] + _OF_SHOP) / (total[1] + _OF_SHOP)),
        strength=_strength(past[0], past[1]),
    )


def of_returns(returns: Returns) -> Expectation:
    """Expect a rate: relative rates are gamma distributed, counts negative-binomial.

    Of r returns since a day, x expected, with a relative rate that is gamma distributed of shape a
    and rate b by the past: Poisson(r | g x a / b) if it has risen by g, else NegBin(r | a, b / (b +
    x)); of both the common x^r / r! is left out.

    Args:
        returns: Of the subjects.
    """
    num, since = from_each(returns.num_SD), from_each(returns.expected_SD) * returns.shop_D
    num_past = before_each(returns.num_SD, returns.num_before_S)
    past = before_each(returns.expected_SD, returns.expected_before_S)
    log_past, log_since, level = [], [], []
    for shape, rate in ((returns.strength, returns.strength), _ANY_RATE):
        a, b = shape + num_past, rate + past
        log_past.append(shape * np.log(rate) - gammaln(shape) + gammaln(a) - a * np.log(b))
        log_since.append(
            a * np.log(b) - gammaln(a) + gammaln(a + num) - (a + num) * np.log(b + since)
        )
        level.append(a / b)

    def risen(level_SD: np.ndarray, gains_F: np.ndarray) -> np.ndarray:
        log_FSD = np.log(level_SD) + gains_F[:, None, None]
        return num * log_FSD - np.exp(log_FSD) * since

    return Expectation(
        log_past_PSD=np.array(log_past),
        log_since_PSD=np.array(log_since),
        level_PSD=np.array(level),
        risen=risen,
    )


def _expected(age_N: np.ndarray, is_back_N: np.ndarray) -> np.ndarray:
    """Return of each sale how many returns were to be expected of it by now, shape (N,)."""
    size = MOST_AGE_DAYS + 1
    at_risk = from_each(np.bincount(age_N, minlength=size).astype(np.float64))
    back = np.bincount(age_N, weights=is_back_N, minlength=size)
    return np.cumsum(back / np.maximum(at_risk, 1.0))[age_N]


def _strength(num_S: np.ndarray, expected_S: np.ndarray) -> float:
    """Return the shape of relative rates, by moments: var = x + x^2 / shape."""
    squares = float((expected_S**2).sum())
    if squares <= 0.0:
        return _MOST_STRENGTH
    between = float(((num_S - expected_S) ** 2 - expected_S).sum()) / squares
    return float(np.clip(1.0 / max(between, 1e-9), _LEAST_STRENGTH, _MOST_STRENGTH))
