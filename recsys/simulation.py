"""A shop of known truth: who would click, buy and be satisfied by what, under any policy.

A user looks at place k (from 0) with a chance of 1 / (k + 1)^power, clicks what they look at with a
chance of its relevance to them, buys what they clicked with a chance of their own, judges what they
bought with another, and is then satisfied in [-1, 1] as a beta law around the truth has it. So the
value of a policy is known exactly, by enumeration of all its lists.
Source: the position-based model of clicks, Chuklin, Markov and de Rijke 2015.

Shape suffixes: U users, I items, C candidates of a user, K places, L lists, N = L K rows.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.simulated_users import Behaviour, SoftPolicy, Truth

REWARDS = ("click", "purchase", "satisfaction")


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """L lists that were shown, and what followed.

    Attributes:
        user: Index of the user, shape (L,).
        item: Index of the item at each place, shape (L, K).
        propensity: Chance that it came there, given those above, shape (L, K).
        click: 0 or 1, shape (L, K).
        purchase: 0 or 1, shape (L, K).
        felt: Satisfaction in [-1, 1] of what was bought and judged, NaN elsewhere, shape (L, K).
    """

    user: np.ndarray
    item: np.ndarray
    propensity: np.ndarray
    click: np.ndarray
    purchase: np.ndarray
    felt: np.ndarray

    def rows(self, truth: Truth) -> pl.DataFrame:
        """Return the rows of a log, see `recsys.off_policy.log`."""
        num_lists, num_places = self.item.shape
        candidates = [truth.item_ids[row].tolist() for row in truth.candidates]
        lists = np.repeat(np.arange(num_lists), num_places)
        return pl.DataFrame(
            {
                "list_id": [f"l{number:07d}" for number in lists],
                "user_id": truth.user_ids[self.user[lists]].tolist(),
                "item_id": truth.item_ids[self.item.ravel()].tolist(),
                "position": np.tile(np.arange(1, num_places + 1), num_lists),
                "propensity": self.propensity.ravel(),
                "click": self.click.ravel().astype(np.float64),
                "purchase": self.purchase.ravel().astype(np.float64),
                "satisfaction": np.nan_to_num(self.felt).ravel(),
                "candidates": [candidates[user] for user in self.user[lists]],
            }
        )


def simulate(
    truth: Truth, behaviour: Behaviour, policy: SoftPolicy, *, num_lists: int, seed: int
) -> Simulated:
    """Show lists to users drawn evenly, and let them act.

    Args:
        truth: What users want.
        behaviour: How they behave.
        policy: What fills the lists.
        num_lists: L.
        seed: Of users, lists and what follows.

    Raises:
        ValueError: If there are fewer candidates than places.
    """
    num_candidates, num_places = truth.candidates.shape[1], behaviour.num_places
    if num_candidates < num_places:
        raise ValueError(f"{num_candidates} candidates cannot fill {num_places} places")
    rng = np.random.default_rng(seed)
    user = rng.integers(0, len(truth.user_ids), num_lists)
    scores = truth.of_candidates(policy.scores)[user]
    left = np.ones(scores.shape, dtype=bool)
    each = np.arange(num_lists)
    column = np.empty((num_lists, num_places), dtype=np.int64)
    propensity = np.empty((num_lists, num_places))
    for place in range(num_places):
        chance = policy.next_place(scores, left)
        luck = rng.random((num_lists, 1))
        drawn = np.minimum((chance.cumsum(1) < luck).sum(1), num_candidates - 1)
        # A sum that rounds below one must not end on what stands above.
        drawn = np.where(left[each, drawn], drawn, np.where(left, chance, -1.0).argmax(1))
        column[:, place], propensity[:, place] = drawn, chance[each, drawn]
        left[each, drawn] = False
    item = np.take_along_axis(truth.candidates[user], column, 1)
    relevance = truth.relevance[user[:, None], item]
    click = rng.random(item.shape) < behaviour.looks * relevance
    purchase = click & (rng.random(item.shape) < behaviour.purchase_rate)
    judged = purchase & (rng.random(item.shape) < behaviour.judged_rate)
    mean = np.clip(truth.satisfaction[user[:, None], item], 1e-6, 1 - 1e-6)
    felt = 2 * rng.beta(behaviour.concentration * mean, behaviour.concentration * (1 - mean)) - 1
    return Simulated(
        user=user,
        item=item,
        propensity=propensity,
        click=click,
        purchase=purchase,
        felt=np.where(judged, felt, np.nan),
    )


def true_value(
    truth: Truth, behaviour: Behaviour, policy: SoftPolicy, reward: str = "click"
) -> float:
    """Return the exact mean reward of a place under a policy, by enumeration of all its lists.

    Args:
        truth: What users want.
        behaviour: How they behave; the work grows with candidates to the power of places - 1.
        policy: What fills the lists.
        reward: One of `REWARDS`.

    Raises:
        ValueError: If the reward is unknown.
    """
    reward_UC = truth.of_candidates(mean_reward(truth, behaviour, reward))
    scores = truth.of_candidates(policy.scores)
    chance = np.ones(len(scores))
    total = _below(policy, scores, reward_UC, np.ones(scores.shape, dtype=bool), chance, behaviour)
    return float(total.mean() / behaviour.num_places)


def mean_reward(truth: Truth, behaviour: Behaviour, reward: str) -> np.ndarray:
    """Return the expected reward of what is looked at, shape (U, I).

    Raises:
        ValueError: If the reward is unknown.
    """
    if reward not in REWARDS:
        raise ValueError(f"unknown reward {reward!r}; known: {', '.join(REWARDS)}")
    bought = truth.relevance * behaviour.purchase_rate
    if reward == "click":
        return truth.relevance
    if reward == "purchase":
        return bought
    return bought * behaviour.judged_rate * (2 * np.clip(truth.satisfaction, 1e-6, 1 - 1e-6) - 1)


def _below(
    policy: SoftPolicy,
    scores: np.ndarray,
    reward_UC: np.ndarray,
    left: np.ndarray,
    reached: np.ndarray,
    behaviour: Behaviour,
    place: int = 0,
) -> np.ndarray:
    """Return the expected reward of a place and all below it, over users, shape (U,)."""
    chance = reached[:, None] * policy.next_place(scores, left)
    total = behaviour.looks[place] * (chance * reward_UC).sum(1)
    if place + 1 < behaviour.num_places:
        for column in range(scores.shape[1]):
            if left[0, column]:
                after = left.copy()
                after[:, column] = False
                total += _below(
                    policy, scores, reward_UC, after, chance[:, column], behaviour, place + 1
                )
    return total
