"""How often customers will buy again, whether they still are customers, and what they will spend.

BG/NBD: while alive a customer buys at random times of a rate of their own; after each purchase they
leave with a probability of their own. Rates vary over customers as Gamma(r, alpha), the
probabilities to leave as Beta(a, b). Gamma-Gamma: what a customer spends varies about a mean of
their own, apart from how often they buy.

Sources: Fader, Hardie and Lee 2005, "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model"; Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary Value". Times may be of
any unit, the same for all of them; no clock.

Shape suffixes: N customers.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from recsys.errors import NotEnoughDataError

_LEAST_CUSTOMERS = 20
# Bounds of the logarithms of parameters: where customers are all alike they run off to infinity.
_LOG_BOUNDS = (-9.0, 12.0)
_STARTS = ((1.0, 1.0, 1.0, 1.0), (0.3, 0.3, 0.8, 2.5), (2.0, 3.0, 0.3, 3.0))


@dataclass(frozen=True, kw_only=True)
class PurchaseHistories:
    """What is known of N customers: a purchase day is one purchase.

    Attributes:
        num_repeats: Purchases after the first, x, shape (N,).
        last_repeat: Time from the first to the last purchase, t_x, 0 without repeats, shape (N,).
        age: Time from the first purchase to now, T, at least `last_repeat`, shape (N,).
    """

    num_repeats: np.ndarray
    last_repeat: np.ndarray
    age: np.ndarray

    def __post_init__(self) -> None:
        """Check the ranges."""
        x, t_x, age = self.num_repeats, self.last_repeat, self.age
        if not (x.shape == t_x.shape == age.shape and x.ndim == 1):
            raise ValueError(
                f"histories must be of one length, not {x.shape, t_x.shape, age.shape}"
            )
        if (x < 0).any() or (t_x < 0).any() or (t_x > age).any():
            raise ValueError("a history needs num_repeats >= 0 and 0 <= last_repeat <= age")
        if ((x == 0) & (t_x > 0)).any():
            raise ValueError("a customer without repeats has last_repeat 0")


@dataclass(frozen=True, kw_only=True)
class BgNbd:
    """Parameters of BG/NBD, all positive; `alpha` is in the unit of time."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, histories: PurchaseHistories) -> np.ndarray:
        """Return the log-likelihood of each customer, shape (N,)."""
        r, alpha, a, b = astuple(self)
        x, t_x, age = histories.num_repeats, histories.last_repeat, histories.age
        rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
        left = np.full(x.shape, -np.inf)
        some = x > 0
        left[some] = (
            betaln(a + 1, b + x[some] - 1)
            - betaln(a, b)
            - (r + x[some]) * np.log(alpha + t_x[some])
        )
        return rate + np.logaddexp(stays, left)

    def probability_alive(self, histories: PurchaseHistories) -> np.ndarray:
        """Return the probability of each customer to buy ever again, in [0, 1], shape (N,)."""
        return 1 / (1 + self._odds_left(histories))

    def expected_purchases(self, histories: PurchaseHistories, time: float) -> np.ndarray:
        """Return the purchases each customer is expected to make within `time` from now, (N,).

        >>> one = PurchaseHistories(
        ...     num_repeats=np.array([2]), last_repeat=np.array([30.43]), age=np.array([38.86])
        ... )
        >>> BgNbd(r=0.2426, alpha=4.4136, a=0.793, b=2.426).expected_purchases(one, 39).round(3)
        array([1.226])

        Raises:
            ValueError: If `time` is negative.
        """
        if time < 0:
            raise ValueError(f"time must be at least 0, not {time}")
        r, alpha, a, b = astuple(self)
        x, age = histories.num_repeats, histories.age
        # The formula is 0 / 0 at a = 1; this near it the limit is no different.
        a = a if abs(a - 1) > 1e-6 else 1 + 1e-6
        ahead = alpha + age + time
        stays = (ahead / (alpha + age)) ** -(r + x) * hyp2f1(
            r + x, b + x, a + b + x - 1, time / ahead
        )
        return (a + b + x - 1) / (a - 1) * (1 - stays) / (1 + self._odds_left(histories))

    def _odds_left(self, histories: PurchaseHistories) -> np.ndarray:
        """Return the odds of having left; nobody has who bought once only."""
        r, alpha, a, b = astuple(self)
        x, t_x, age = histories.num_repeats, histories.last_repeat, histories.age
        odds = np.zeros(x.shape)
        some = x > 0
        longer = (alpha + age[some]) / (alpha + t_x[some])
        odds[some] = a / (b + x[some] - 1) * longer ** (r + x[some])
        return odds


def fit_bg_nbd(histories: PurchaseHistories) -> BgNbd:
    """Fit by maximum likelihood.

    Raises:
        NotEnoughDataError: If there are too few customers, or none who came back.
    """
    num, repeats = len(histories.age), int((histories.num_repeats > 0).sum())
    if num < _LEAST_CUSTOMERS or repeats < 1:
        raise NotEnoughDataError(
            f"BG/NBD needs {_LEAST_CUSTOMERS} customers of whom one came back; there are {num}, of "
            f"whom {repeats} did"
        )
    rows = np.stack([histories.num_repeats, histories.last_repeat, histories.age], axis=1)
    (x, t_x, age), counts = _distinct(rows)
    # In units of the longest age the parameters are of one size, whatever the unit.
    unit = max(float(age.max()), 1e-12)
    scaled = PurchaseHistories(num_repeats=x, last_repeat=t_x / unit, age=age / unit)

    def loss(logs: np.ndarray) -> float:
        r, alpha, a, b = np.exp(logs)
        of_each = BgNbd(r=r, alpha=alpha, a=a, b=b).log_likelihood(scaled)
        return -float(of_each @ counts) / num

    r, alpha, a, b = _least(loss, _STARTS)
    return BgNbd(r=r, alpha=alpha * unit, a=a, b=b)


@dataclass(frozen=True, kw_only=True)
class GammaGamma:
    """Parameters of Gamma-Gamma, all positive; `v` is in the unit of money."""

    p: float
    q: float
    v: float

    def log_likelihood(self, num_repeats: np.ndarray, mean_spend: np.ndarray) -> np.ndarray:
        """Return the log-likelihood of the mean spend of each customer who came back, shape (N,).

        Args:
            num_repeats: Purchases after the first, at least 1, shape (N,).
            mean_spend: Their mean value, positive, shape (N,).
        """
        p, q, v = astuple(self)
        shape = p * num_repeats
        return (
            gammaln(shape + q)
            - gammaln(shape)
            - gammaln(q)
            + q * np.log(v)
            + (shape - 1) * np.log(mean_spend)
            + shape * np.log(num_repeats)
            - (shape + q) * np.log(v + num_repeats * mean_spend)
        )

    def expected_spend(self, num_repeats: np.ndarray, mean_spend: np.ndarray) -> np.ndarray:
        """Return the value expected of each customer's next purchase, shape (N,).

        It lies between the customer's own mean and that of all, the nearer to the own one the more
        purchases there are; without repeats it is the mean of all. NaN where no mean exists
        (p x + q <= 1).
        """
        p, q, v = astuple(self)
        spent = num_repeats * np.where(num_repeats > 0, mean_spend, 0.0)
        weight = p * num_repeats + q - 1
        return np.where(weight > 0, p * (v + spent) / np.where(weight > 0, weight, 1.0), np.nan)


def fit_gamma_gamma(num_repeats: np.ndarray, mean_spend: np.ndarray) -> GammaGamma:
    """Fit by maximum likelihood to the customers who came back and spent something.

    Args:
        num_repeats: Purchases after the first, shape (N,).
        mean_spend: Mean value of those, shape (N,); not read without any.

    Raises:
        NotEnoughDataError: If too few customers came back.
    """
    used = (num_repeats > 0) & (mean_spend > 0)
    if used.sum() < _LEAST_CUSTOMERS:
        raise NotEnoughDataError(
            f"Gamma-Gamma needs {_LEAST_CUSTOMERS} customers who came back and spent something; "
            f"there are {int(used.sum())}"
        )
    (x, spend), counts = _distinct(np.stack([num_repeats[used], mean_spend[used]], axis=1))
    unit = float(np.median(spend))

    def loss(logs: np.ndarray) -> float:
        p, q, v = np.exp(logs)
        of_each = GammaGamma(p=p, q=q, v=v).log_likelihood(x, spend / unit)
        return -float(of_each @ counts) / float(counts.sum())

    p, q, v = _least(loss, ((1.0, 1.0, 1.0), (6.0, 4.0, 0.5), (2.0, 10.0, 4.0)))
    return GammaGamma(p=p, q=q, v=v * unit)


def customer_values(days: pl.DataFrame, *, horizon_days: float) -> pl.DataFrame:
    """Fit both models to all customers and tell what each will bring.

    Args:
        days: What `features.purchase_days.purchase_days` returns.
        horizon_days: Over how many days from now.

    Returns:
        `user_id, probability_alive, expected_purchases` (purchase days) and `expected_cents`, in
        the order given; the last is null where too few customers came back with a known price.

    Raises:
        NotEnoughDataError: If there are too few customers, or none who came back.
    """
    histories = PurchaseHistories(
        num_repeats=days["num_repeats"].to_numpy().astype(np.float64),
        last_repeat=days["last_repeat_days"].to_numpy().astype(np.float64),
        age=days["age_days"].to_numpy().astype(np.float64),
    )
    model = fit_bg_nbd(histories)
    expected = model.expected_purchases(histories, horizon_days)
    mean = days["mean_repeat_cents"].fill_null(0.0).to_numpy()
    repeats = np.where(mean > 0, histories.num_repeats, 0.0)
    try:
        spend = fit_gamma_gamma(repeats, mean).expected_spend(repeats, mean)
    except NotEnoughDataError:
        spend = np.full(len(mean), np.nan)
    return days.select(
        "user_id",
        probability_alive=pl.Series(model.probability_alive(histories)),
        expected_purchases=pl.Series(expected),
        expected_cents=pl.Series(expected * spend).fill_nan(None),
    )


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distinct rows as columns, and how often each comes: many customers are alike."""
    distinct, counts = np.unique(rows.astype(np.float64), axis=0, return_counts=True)
    return distinct.T, counts


def _least(
    loss: Callable[[np.ndarray], float], starts: tuple[tuple[float, ...], ...]
) -> tuple[float, ...]:
    """Return the parameters with the least loss that is found from several starts."""
    found = [
        minimize(loss, np.log(start), method="L-BFGS-B", bounds=[_LOG_BOUNDS] * len(start))
        for start in starts
    ]
    best = min(found, key=lambda result: result.fun)
    return tuple(np.exp(best.x).tolist())
