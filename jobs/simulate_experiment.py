"""Simulate what users of the sample shop do with lists of a policy, and say what is true."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from features.store import Store
from jobs.errors import BadInputError
from jobs.sample_shop import Shop, ShopConfig, expected_satisfaction, generate_shop
from recsys.simulated_tables import after, simulated_tables
from recsys.simulated_users import Behaviour, SoftPolicy, Truth
from recsys.simulation import REWARDS, simulate, true_value

POLICIES = ("uniform", "popular", "relevance", "satisfaction")
_LEAST_RELEVANCE, _MOST_RELEVANCE = 0.05, 0.65
_IMAGINARY_PURCHASES = 2.0


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """What is simulated.

    Attributes:
        policy: Which of `POLICIES` fills the lists.
        temperature: Of its scores.
        epsilon: Chance with which a place is filled by luck.
        num_lists: Lists that are shown.
        num_candidates: Items that can be shown to each user.
        behaviour: How users behave.
        seed: Of candidates, lists and what follows.
        shop: The sample shop.
    """

    policy: str = "relevance"
    temperature: float = 0.1
    epsilon: float = 0.2
    num_lists: int = 5000
    num_candidates: int = 8
    behaviour: Behaviour = field(default_factory=Behaviour)
    seed: int = 7
    shop: ShopConfig = field(default_factory=ShopConfig)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.policy not in POLICIES:
            raise ValueError(f"unknown policy {self.policy!r}; known: {', '.join(POLICIES)}")
        if self.num_lists < 1:
            raise ValueError(f"num_lists is {self.num_lists}, wanted at least 1")
        if not self.behaviour.num_places <= self.num_candidates <= self.shop.num_items:
            raise ValueError(
                f"num_candidates is {self.num_candidates}, wanted at least the "
                f"{self.behaviour.num_places} places and at most the {self.shop.num_items} items"
            )


@dataclass(frozen=True, kw_only=True)
class SimulationReport:
    """What was written, and what is true.

    Attributes:
        policy: That filled the lists.
        rows: Written, by table.
        seen: Mean reward of a place in the log, by reward.
        true_values: Exact mean reward of a place, by policy and reward, all at the temperature and
            epsilon of the log.
    """

    policy: str
    rows: dict[str, int]
    seen: dict[str, float]
    true_values: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the machine's copy."""
        return dict(vars(self))


def simulate_into(store: Store, config: SimulationConfig) -> SimulationReport:
    """Write a sample shop and a simulated log of a policy into an empty store.

    The lists begin on the day after the shop's last event.

    Raises:
        BadInputError: If the store holds tables already.
    """
    for table in ("exposures", "events", "items"):
        if store.exists(table):
            raise BadInputError(
                f"{store.root} holds the table {table}: simulated rows must not mix with others; "
                "name a folder that does not exist"
            )
    shop = generate_shop(config.shop)
    truth = truth_of_shop(shop, num_candidates=config.num_candidates, seed=config.seed)
    policies = {name: named_policy(name, truth, shop, config) for name in POLICIES}
    simulated = simulate(
        truth,
        config.behaviour,
        policies[config.policy],
        num_lists=config.num_lists,
        seed=config.seed,
    )
    tables = simulated_tables(simulated, truth, start=after(shop.events), policy=config.policy)
    written = {
        "items": shop.items,
        "users": shop.users,
        "events": pl.concat([shop.events, tables.events]),
        "reviews": pl.concat([shop.reviews, tables.reviews]),
        "exposures": tables.exposures,
    }
    for name, frame in written.items():
        store.append(name, frame)
    rows = simulated.rows(truth)
    return SimulationReport(
        policy=config.policy,
        rows={name: len(frame) for name, frame in written.items()},
        seen={reward: float(rows[reward].to_numpy().mean()) for reward in REWARDS},
        true_values={
            name: {r: true_value(truth, config.behaviour, policy, r) for r in REWARDS}
            for name, policy in policies.items()
        },
    )


def truth_of_shop(shop: Shop, *, num_candidates: int, seed: int) -> Truth:
    """Return what is true in a sample shop.

    Satisfaction is the shop's own. Relevance follows what was bought: how much of it the user
    bought on the item's shelf, and how much of that shelf's purchases were of the item. Candidates
    are drawn with chances in proportion to relevance.

    Args:
        shop: The shop.
        num_candidates: Items that can be shown to each user.
        seed: Of the candidates.
    """
    satisfaction = expected_satisfaction(shop.truth)
    user_ids = satisfaction["user_id"].to_numpy()
    item_ids = np.array(satisfaction.columns[1:], dtype=object)
    shelf = shop.items.select("item_id", shelf=pl.col("categories").list.last().fill_null(""))
    shelf_of = dict(shelf.iter_rows())
    names = sorted(set(shelf_of.values()))
    shelf_I = np.array([names.index(shelf_of[item]) for item in item_ids])
    bought = shop.events.filter(pl.col("event_type") == "purchase")
    users, items = {u: n for n, u in enumerate(user_ids)}, {i: n for n, i in enumerate(item_ids)}
    user = np.array([users[name] for name in bought["user_id"]])
    item = np.array([items[name] for name in bought["item_id"]])
    counts_US = np.zeros((len(user_ids), len(names)))
    np.add.at(counts_US, (user, shelf_I[item]), 1.0)
    overall_S = counts_US.sum(0) / counts_US.sum()
    share_US = (counts_US + _IMAGINARY_PURCHASES * overall_S) / (
        counts_US.sum(1, keepdims=True) + _IMAGINARY_PURCHASES
    )
    popular_I = popularity(shop, item_ids)
    most_S = np.zeros(len(names))
    np.maximum.at(most_S, shelf_I, popular_I)
    pull_UI = np.sqrt(share_US / share_US.max(1, keepdims=True))[:, shelf_I] * (
        0.3 + 0.7 * popular_I / most_S[shelf_I]
    )
    relevance = _LEAST_RELEVANCE + (_MOST_RELEVANCE - _LEAST_RELEVANCE) * pull_UI
    # Gumbel noise: the largest sums are a draw without replacement.
    luck = np.random.default_rng(seed).gumbel(size=relevance.shape)
    candidates = np.argsort(-(np.log(relevance) + luck), axis=1, kind="stable")[:, :num_candidates]
    return Truth(
        user_ids=user_ids,
        item_ids=item_ids,
        relevance=relevance,
        satisfaction=satisfaction.drop("user_id").to_numpy(),
        candidates=np.sort(candidates, axis=1),
    )


def popularity(shop: Shop, item_ids: np.ndarray) -> np.ndarray:
    """Return how often each item was bought, and half a purchase more, shape (I,)."""
    bought = shop.events.filter(pl.col("event_type") == "purchase")["item_id"].value_counts()
    counts = dict(bought.iter_rows())
    return np.array([counts.get(item, 0) + 0.5 for item in item_ids])


def named_policy(name: str, truth: Truth, shop: Shop, config: SimulationConfig) -> SoftPolicy:
    """Return one of `POLICIES`: by luck, by sales, by relevance, or by that and satisfaction."""
    popular = popularity(shop, truth.item_ids)
    scores = {
        "uniform": np.zeros(truth.relevance.shape),
        "popular": np.broadcast_to(popular / popular.max(), truth.relevance.shape),
        "relevance": truth.relevance,
        "satisfaction": truth.relevance * truth.satisfaction,
    }[name]
    epsilon = 1.0 if name == "uniform" else config.epsilon
    return SoftPolicy(name=name, scores=scores, temperature=config.temperature, epsilon=epsilon)
