"""Whether looks are paid for: the chance to reject a true null at any of 20 looks.

Data arrive in batches of 250 users of each arm, skewed; every look is read as `sentirec abtest
analyze` reads it, with boundaries of `recsys.abtest`.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from recsys.abtest.always_valid import half_width
from recsys.abtest.group_sequential import boundaries, crossing_chance

ALPHA = 0.05
_BATCH = 250
_CHUNK = 500


def statistics_at_looks(
    rng: np.random.Generator, num_looks: int, effect: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return differences, standard errors and degrees of freedom, each of shape (chunk, looks)."""
    arms = []
    for extra in (0.0, effect):
        values = rng.exponential(1.0, (_CHUNK, num_looks, _BATCH)) + extra
        num = _BATCH * np.arange(1, num_looks + 1)
        mean = values.sum(2).cumsum(1) / num
        variance = ((values**2).sum(2).cumsum(1) - num * mean**2) / (num - 1)
        arms.append((mean, variance / num, num))
    (mean_c, var_c, num), (mean_t, var_t, _) = arms
    freedom = (var_c + var_t) ** 2 / ((var_c**2 + var_t**2) / (num - 1))
    return mean_t - mean_c, np.sqrt(var_c + var_t), freedom


def run_sequential(num_simulations: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield how often each rule ever rejects a true null, and finds an effect."""
    rules: list[tuple[str, int, str]] = [
        ("the fixed test at each of 20 looks", 20, "none"),
        ("always-valid, 20 looks", 20, "always-valid"),
        ("O'Brien-Fleming spending, 5 looks", 5, "obrien-fleming"),
        ("O'Brien-Fleming spending, 20 looks", 20, "obrien-fleming"),
        ("Pocock spending, 5 looks", 5, "pocock"),
        ("Pocock spending, 20 looks", 20, "pocock"),
    ]
    for name, num_looks, method in rules:
        rng = np.random.default_rng(seed)
        shares = []
        for effect in (0.0, 3.2 / math.sqrt(_BATCH * num_looks / 2)):
            crossed = 0
            for _ in range(num_simulations // _CHUNK):
                value, error, freedom = statistics_at_looks(rng, num_looks, effect)
                limit = _limits(method, num_looks, freedom) * error
                crossed += int((np.abs(value) > limit).any(1).sum())
            shares.append(crossed / num_simulations)
        exact = None
        if method in ("obrien-fleming", "pocock"):
            fractions = [(n + 1) / num_looks for n in range(num_looks)]
            bounds = boundaries(method, fractions, alpha=ALPHA, sides="two")
            exact = crossing_chance(fractions, bounds, sides="two")
        yield {
            "rule": name,
            "size": shares[0],
            "power": shares[1],
            "size_by_integration": exact,
            "size_off_in_se": (shares[0] - ALPHA)
            / math.sqrt(ALPHA * (1 - ALPHA) / num_simulations),
        }


def _limits(method: str, num_looks: int, freedom: np.ndarray) -> np.ndarray:
    """Return how many standard errors a difference must have at each look."""
    if method == "none":
        return student.isf(ALPHA / 2, freedom)
    if method == "always-valid":
        users = [2 * _BATCH * (n + 1) for n in range(num_looks)]
        return np.array([[half_width(1.0, n, alpha=ALPHA, tuning=5000) for n in users]])
    fractions = [(n + 1) / num_looks for n in range(num_looks)]
    critical = boundaries(method, fractions, alpha=ALPHA, sides="two")  # type: ignore[arg-type]
    return student.isf(norm.sf(critical)[None, :], freedom)
