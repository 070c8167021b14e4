"""How many impressions interleaving saves against an A/B test, on a shop of known truth.

Shape suffixes: U users, L lists, K places, C candidates.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy.stats

from recsys.interleaving import A, B, credit, team_draft
from recsys.simulated_users import Behaviour, Truth

_MOST_COINS = 5
_MOST_LISTS = 20_000


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Impressions (lists) until a test tells two rankings apart.

    Attributes:
        true_difference: Expected clicks a list of B less those of A, exact.
        interleaved_effect: Mean credit of a user for B less that for A, a list, over its standard
            deviation.
        ab_effect: True difference over the standard deviation of a user's clicks a list.
        interleaved_lists: Wanted for the power, both rankings in each.
        ab_lists: Wanted of both groups together.
        ratio: ab_lists / interleaved_lists: above 1 interleaving saves.
        interleaved_power: Share of simulated experiments of `interleaved_lists` lists whose t test
            over users has p < alpha, with B ahead where it is truly better.
        ab_power: The same of A/B tests of as many lists, half of the users each (Welch).
    """

    true_difference: float
    interleaved_effect: float
    ab_effect: float
    interleaved_lists: int
    ab_lists: int
    ratio: float
    interleaved_power: float
    ab_power: float


def impressions_saved(
    truth: Truth,
    behaviour: Behaviour,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    *,
    seed: int,
    alpha: float = 0.05,
    power: float = 0.8,
    num_experiments: int = 300,
) -> Saving:
    """Compare both designs at equal power; every list is of another user.

    Sizes come from exact means and variances by the normal approximation: interleaving wants
    ((z_alpha/2 + z_power) sd / mean)^2 lists, an A/B test 4 times that, with the standard deviation
    of clicks (two groups, half the lists in each); the power at the first size is then counted.

    Args:
        truth: What users want.
        behaviour: How they behave.
        scores_a: Ranking A: higher is better, of users and items, shape (U, I).
        scores_b: Ranking B.
        seed: Of users, coins and clicks.
        alpha: Two-sided size.
        power: Wanted.
        num_experiments: Simulated, to count the power.

    Raises:
        ValueError: If users click as much on both, so that no size is enough, or settings are out
            of range.
    """
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha {alpha} and power {power}: wanted between 0 and 1")
    rng = np.random.default_rng(seed)
    lists_a, lists_b = (_ranked(truth, scores) for scores in (scores_a, scores_b))
    k = behaviour.num_places
    clicks_a = _expected_clicks(truth, behaviour, lists_a)
    clicks_b = _expected_clicks(truth, behaviour, lists_b)
    difference = float((clicks_b - clicks_a).mean())
    if difference == 0.0:
        raise ValueError("both rankings earn the same clicks: no number of lists tells them apart")
    mean, spread = _interleaved_moments(truth, behaviour, lists_a, lists_b)
    if spread == 0.0 or mean == 0.0:
        raise ValueError("no user prefers either ranking: interleaving cannot tell them apart")
    interleaved_effect = mean / spread
    ab_effect = difference / _spread_of_clicks(truth, behaviour, (lists_a, lists_b))
    z = float(scipy.stats.norm.ppf(1 - alpha / 2) + scipy.stats.norm.ppf(power))
    num_interleaved = math.ceil((z / interleaved_effect) ** 2)
    found = {"interleaved": 0, "ab": 0}
    num = min(max(num_interleaved, 10), _MOST_LISTS)
    better = math.copysign(1.0, difference)
    for _ in range(num_experiments):
        users = rng.integers(0, len(truth.user_ids), num)
        gain = _interleaved_gain(truth, behaviour, lists_a, lists_b, users, rng)
        found["interleaved"] += _rejects(gain, alpha, better)
        in_b = rng.random(num) < 0.5
        shown = np.where(in_b[:, None], lists_b[users, :k], lists_a[users, :k])
        clicks = _clicks(truth, behaviour, shown, users, rng)
        found["ab"] += _welch_rejects(clicks[in_b], clicks[~in_b], alpha, better)
    return Saving(
        true_difference=difference,
        interleaved_effect=interleaved_effect,
        ab_effect=ab_effect,
        interleaved_lists=num_interleaved,
        ab_lists=math.ceil(4 * (z / ab_effect) ** 2),
        ratio=4 * (interleaved_effect / ab_effect) ** 2,
        interleaved_power=found["interleaved"] / num_experiments,
        ab_power=found["ab"] / num_experiments,
    )


def _ranked(truth: Truth, scores: np.ndarray) -> np.ndarray:
    """Return each user's candidates, best first, shape (U, C)."""
    order = np.argsort(-truth.of_candidates(scores), axis=1, kind="stable")
    return np.take_along_axis(truth.candidates, order, 1)


def _interleaved_moments(
    truth: Truth, behaviour: Behaviour, lists_a: np.ndarray, lists_b: np.ndarray
) -> tuple[float, float]:
    """Return mean and standard deviation of the credit for B less that for A of a list, exactly.

    Over all users and, up to ten places, all ways the coins can fall; else over some of them.
    """
    rounds = (behaviour.num_places + 1) // 2
    falls = np.array(list(itertools.product((True, False), repeat=min(rounds, _MOST_COINS))))
    falls = np.tile(falls, (1, math.ceil(rounds / falls.shape[1])))[:, :rounds]
    means, variances = [], []
    for coins in falls:
        each = np.broadcast_to(coins, (len(lists_a), rounds))
        drafted = team_draft(lists_a, lists_b, behaviour.num_places, each)
        item = np.maximum(drafted.item, 0)
        chance = behaviour.looks * np.take_along_axis(truth.relevance, item, 1)
        sign = (drafted.team == B).astype(np.int64) - (drafted.team == A)
        means.append((chance * sign).sum(1))
        variances.append((chance * (1 - chance) * sign**2).sum(1))
    of_lists = np.concatenate(means)
    spread = math.sqrt(float(np.concatenate(variances).mean() + of_lists.var()))
    return float(of_lists.mean()), spread


def _spread_of_clicks(
    truth: Truth, behaviour: Behaviour, of_groups: tuple[np.ndarray, np.ndarray]
) -> float:
    """Return the standard deviation of the clicks of a list within a group, exactly."""
    variances = []
    for ranked in of_groups:
        shown = ranked[:, : behaviour.num_places]
        chance = behaviour.looks * np.take_along_axis(truth.relevance, shown, 1)
        within = (chance * (1 - chance)).sum(1).mean()
        variances.append(float(within + chance.sum(1).var()))
    return math.sqrt(sum(variances) / 2)


def _expected_clicks(truth: Truth, behaviour: Behaviour, ranked: np.ndarray) -> np.ndarray:
    shown = ranked[:, : behaviour.num_places]
    return (behaviour.looks * np.take_along_axis(truth.relevance, shown, 1)).sum(1)


def _interleaved_gain(
    truth: Truth,
    behaviour: Behaviour,
    lists_a: np.ndarray,
    lists_b: np.ndarray,
    users: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return credit for B less credit for A of one list a user, shape (L,)."""
    k = behaviour.num_places
    coins = rng.random((len(users), (k + 1) // 2)) < 0.5
    drafted = team_draft(lists_a[users], lists_b[users], k, coins)
    chance = behaviour.looks * truth.relevance[users[:, None], drafted.item]
    click = (rng.random(drafted.item.shape) < chance).astype(np.float64)
    credit_a, credit_b = credit(drafted.team, click)
    return credit_b - credit_a


def _clicks(
    truth: Truth,
    behaviour: Behaviour,
    shown: np.ndarray,
    users: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    chance = behaviour.looks * truth.relevance[users[:, None], shown]
    return (rng.random(shown.shape) < chance).sum(1).astype(np.float64)


def _welch_rejects(ours: np.ndarray, theirs: np.ndarray, alpha: float, better: float) -> bool:
    # The difference of means over its error, with Welch's degrees of freedom.
    of_mean = np.array([ours.var(ddof=1) / len(ours), theirs.var(ddof=1) / len(theirs)])
    total = float(of_mean.sum())
    if total == 0:
        return False
    freedom = total**2 / float((of_mean**2 / (np.array([len(ours), len(theirs)]) - 1)).sum())
    t = (float(ours.mean()) - float(theirs.mean())) / math.sqrt(total)
    return bool(2 * scipy.stats.t.sf(abs(t), freedom) < alpha and t * better > 0)


def _rejects(gain: np.ndarray, alpha: float, better: float) -> bool:
    error = float(scipy.stats.sem(gain))
    if error == 0:
        return False
    t = float(gain.mean()) / error
    return bool(2 * scipy.stats.t.sf(abs(t), len(gain) - 1) < alpha and t * better > 0)
