"""What people choose on their visits, day by day, and how they feel about what they bought.

Every choice is a softmax (by Gumbel noise) over taste, popularity, fashion, what was bought before
and, times `sentiment_effect`, over experience: the user's own mood about brands and shelves, and
word of mouth about quality in the aspects the user cares for. All noise is drawn in an order that
does not depend on the choices. Shapes: N legs, B legs of one batch, S subcategories,
M longest shelf, V views, A aspects, C companions.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from jobs.sample_shop.catalogue import BRANDS, SHELF_DEPARTMENT, SHELVES, Catalogue
from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.experience import Experience, department_weights, feel
from jobs.sample_shop.people import People
from jobs.sample_shop.visits import MAX_VIEWS, Visits

NEVER = -1e9
FELT_AFTER_DAYS = 4
WORD_OF_MOUTH = 2.0
PRICED_IN = 0.5  # share of general excellence that the price already asks for
BRAND_MOOD = 1.4
SHELF_MOOD = 1.2
ORDINARY = 0.8  # latent that neither pleases nor disappoints
LOSS_AVERSION = 2.0
# How far an experience on one shelf colours another, float[S, S]: 1 its own, 0.5 its department.
_NEARNESS = 0.5 * np.eye(len(SHELVES)) + 0.5 * (SHELF_DEPARTMENT[:, None] == SHELF_DEPARTMENT)
_CONSUMABLE = np.array([shelf.consumable for shelf in SHELVES])


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The outcome of every leg."""

    shelf: np.ndarray
    """int[N]: index into `SHELVES`."""
    viewed: np.ndarray
    """int[N, V]: items in the order of their views, -1 beyond the last."""
    target: np.ndarray
    """int[N]: the viewed item that is wished for, put into the cart or bought."""
    experience: Experience
    """How the target feels to its buyer; means nothing where the leg does not buy."""


@dataclass
class _Memory:
    """What has happened so far."""

    bought: np.ndarray
    """bool[U, I]."""
    bought_on_shelf: np.ndarray
    """int[U, S]: distinct items that will not be bought again."""
    pull: np.ndarray
    """float[U, S]: log interest from purchases on other shelves; fades."""
    recent: np.ndarray
    """int[U, 3]: last items bought, newest first, -1 for none."""
    sales: np.ndarray
    """int[I]."""
    brand_mood: np.ndarray
    """float[U, brands]."""
    shelf_mood: np.ndarray
    """float[U, S]."""
    pending: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = field(
        default_factory=dict
    )
    """Experiences (user, item, latent) by the day on which they are felt."""


def choose(config: ShopConfig, catalogue: Catalogue, people: People, visits: Visits) -> Choices:
    """Walk through the window and let everybody choose."""
    rng = generator(config, "choices")
    noise = Experience.noise(generator(config, "experience"), len(visits.user))
    effect = config.sentiment_effect
    num_legs = len(visits.user)
    weights = department_weights(people.weight)
    season = _season(rng, config.days)
    complements = _complement_pull()
    memory = _empty_memory(config)
    shelf = np.zeros(num_legs, dtype=np.int64)
    viewed = np.full((num_legs, MAX_VIEWS), -1)
    target = np.zeros(num_legs, dtype=np.int64)
    felt = Experience.empty(num_legs)

    batch_of = visits.day * 2 + visits.is_second
    bounds = np.flatnonzero(np.r_[True, np.diff(batch_of) != 0, True])
    today = -1
    for low, high in itertools.pairwise(bounds.tolist()):
        legs = slice(low, high)
        day = int(visits.day[low])
        while today < day:
            today += 1
            _pass_night(memory, catalogue, today)
        user = visits.user[legs]
        shelf[legs] = _choose_shelf(rng, catalogue, people, memory, user, season, day, effect)
        items, score = _score_shelf(
            rng, catalogue, people, memory, weights, user, shelf[legs], day, effect
        )
        seen, best = _choose_items(rng, items, score, visits.num_views[legs])
        viewed[legs], target[legs] = seen, best
        felt.set(legs, feel(catalogue, people, weights, user, best, noise.at(legs)))
        buys = visits.buys[legs]
        _remember(memory, catalogue, complements, user[buys], best[buys])
        memory.pending.setdefault(day + FELT_AFTER_DAYS, []).append(
            (user[buys], best[buys], felt.latent[legs][buys])
        )
    return Choices(shelf=shelf, viewed=viewed, target=target, experience=felt)


def _empty_memory(config: ShopConfig) -> _Memory:
    num_users, num_items, num_shelves = config.num_users, config.num_items, len(SHELVES)
    return _Memory(
        bought=np.zeros((num_users, num_items), dtype=bool),
        bought_on_shelf=np.zeros((num_users, num_shelves), dtype=np.int64),
        pull=np.zeros((num_users, num_shelves)),
        recent=np.full((num_users, 3), -1),
        sales=np.zeros(num_items, dtype=np.int64),
        brand_mood=np.zeros((num_users, len(BRANDS))),
        shelf_mood=np.zeros((num_users, num_shelves)),
    )


def _season(rng: np.random.Generator, days: int) -> np.ndarray:
    """Log demand of every shelf on every day, float[S, days]: a yearly wave."""
    phase = rng.uniform(0, 2 * np.pi, size=(len(SHELVES), 1))
    level = 0.4 * rng.normal(size=(len(SHELVES), 1))
    return level + 0.35 * np.sin(2 * np.pi * np.arange(days) / 365 + phase)


def _complement_pull() -> np.ndarray:
    """Log interest in a shelf (column) after a purchase on another (row), float[S, S]."""
    index = {shelf.name: s for s, shelf in enumerate(SHELVES)}
    pull = np.zeros((len(SHELVES), len(SHELVES)))
    for s, shelf in enumerate(SHELVES):
        if not shelf.consumable:
            pull[s, s] = -1.0
        for name in shelf.complements:
            pull[s, index[name]] += 2.6
    return pull


def _pass_night(memory: _Memory, catalogue: Catalogue, day: int) -> None:
    """Fade the pull of purchases and let the experiences of some days ago sink in."""
    memory.pull *= 0.985
    for user, item, latent in memory.pending.pop(day, ()):
        surprise = np.tanh(1.2 * (latent - ORDINARY))
        surprise = np.where(surprise < 0, LOSS_AVERSION * surprise, surprise)
        np.add.at(memory.brand_mood, (user, catalogue.brand[item]), surprise)
        np.add.at(memory.shelf_mood, user, surprise[:, None] * _NEARNESS[catalogue.shelf[item]])


def _choose_shelf(
    rng: np.random.Generator,
    catalogue: Catalogue,
    people: People,
    memory: _Memory,
    user: np.ndarray,
    season: np.ndarray,
    day: int,
    effect: float,
) -> np.ndarray:
    """Choose a shelf for every leg, int[B]."""
    score = people.shelf_taste[user] + season[:, day] + np.clip(memory.pull[user], -3.0, 3.0)
    score = score + effect * SHELF_MOOD * np.clip(memory.shelf_mood[user], -3.0, 1.5)
    made = (catalogue.members >= 0) & (catalogue.created_day[catalogue.members] <= day)
    is_used_up = memory.bought_on_shelf[user] >= 0.6 * made.sum(axis=1)
    score = np.where(is_used_up, NEVER, score)
    return np.argmax(score + rng.gumbel(size=score.shape), axis=1)


def _score_shelf(
    rng: np.random.Generator,
    catalogue: Catalogue,
    people: People,
    memory: _Memory,
    weights: np.ndarray,
    user: np.ndarray,
    shelf: np.ndarray,
    day: int,
    effect: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of the chosen shelves and their log odds, int[B, M] and float[B, M]."""
    items = catalogue.members[shelf]
    again = memory.bought[user[:, None], items]
    is_open = (items >= 0) & (catalogue.created_day[items] <= day)
    is_open &= ~again | _CONSUMABLE[shelf][:, None]
    fashion = 1.6 * np.exp(-(((day - catalogue.trend_day) / 18.0) ** 2))
    score = (catalogue.appeal + fashion)[items]
    score += np.einsum("bd,bmd->bm", people.style[user], catalogue.style[items])
    score -= 0.3 * (catalogue.price_band[items] - people.price_band[user][:, None]) ** 2
    partners = catalogue.companions[memory.recent[user]]
    partners = np.where(memory.recent[user][:, :, None] >= 0, partners, -2)
    partners = partners.reshape(len(user), -1)
    score += 2.5 * (items[:, :, None] == partners[:, None, :]).any(axis=2)
    score += 0.3 * again
    if effect > 0:
        own = weights[user, SHELF_DEPARTMENT[shelf]]
        fit = np.einsum("ba,bma->bm", own, catalogue.quality[items])
        known = memory.sales[items] / (memory.sales[items] + 2.0)
        mood = np.clip(memory.brand_mood[user[:, None], catalogue.brand[items]], -3.0, 1.5)
        fit -= PRICED_IN * catalogue.excellence[items]
        score += effect * (WORD_OF_MOUTH * fit * known + BRAND_MOOD * mood)
    return items, np.where(is_open, score, NEVER)


def _choose_items(
    rng: np.random.Generator, items: np.ndarray, score: np.ndarray, num_views: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose what is viewed, and among that what is wanted, int[B, V] and int[B]."""
    rows = np.arange(len(items))[:, None]
    noisy = score + rng.gumbel(size=score.shape)
    order = np.argsort(-noisy, axis=1, kind="stable")[:, :MAX_VIEWS]
    is_seen = (np.arange(order.shape[1]) < num_views[:, None]) & (score[rows, order] > NEVER / 2)
    assert is_seen[:, 0].all(), "a shelf without an open item was chosen"
    again = 0.5 * score[rows, order] + rng.gumbel(size=order.shape)
    best = np.argmax(np.where(is_seen, again, -np.inf), axis=1)
    seen = np.full((len(items), MAX_VIEWS), -1)
    seen[:, : order.shape[1]] = np.where(is_seen, items[rows, order], -1)
    return seen, items[rows[:, 0], order[rows[:, 0], best]]


def _remember(
    memory: _Memory,
    catalogue: Catalogue,
    complements: np.ndarray,
    user: np.ndarray,
    item: np.ndarray,
) -> None:
    """Write purchases into the memory; a user may occur more than once."""
    shelf = catalogue.shelf[item]
    is_new = ~memory.bought[user, item] & ~_CONSUMABLE[shelf]
    np.add.at(memory.bought_on_shelf, (user[is_new], shelf[is_new]), 1)
    memory.bought[user, item] = True
    np.add.at(memory.pull, user, complements[shelf])
    np.add.at(memory.sales, item, 1)
    memory.recent[user] = np.column_stack([item, memory.recent[user][:, :2]])
