"""The plan of all visits before anybody chooses anything: who comes when, and for how much.

A session is one or two legs; a leg looks at one shelf: a search perhaps, some views, and perhaps a
wishlist entry, a cart and a purchase. Nothing here depends on quality or sentiment, so two shops
that differ only in `sentiment_effect` have the same visits. Shapes: N legs.
"""

from dataclasses import dataclass

import numpy as np

from jobs.sample_shop.catalogue import SHELVES
from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.people import People

MAX_VIEWS = 6
RETURN_SHARE = 0.06  # of purchases, as seen over many seeds; only used to fit num_events
_HOUR_WEIGHTS = np.array(
    [2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 7, 8, 7, 6, 6, 7, 8, 10, 13, 14, 12, 8, 4], dtype=float
)
_WEEKDAY_WEIGHTS = np.array([1.0, 0.95, 0.95, 1.0, 1.05, 1.25, 1.3])


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Legs in the order in which they are simulated: by day, first legs before second ones."""

    user: np.ndarray
    """int[N]."""
    session: np.ndarray
    """int[N]: number of the session."""
    day: np.ndarray
    """int[N]: day of the window."""
    is_second: np.ndarray
    """bool[N]: continues a session."""
    start_s: np.ndarray
    """int[N]: second of the day at which the session starts."""
    num_views: np.ndarray
    """int[N]: 1 to MAX_VIEWS."""
    searches: np.ndarray
    """bool[N]."""
    wishes: np.ndarray
    """bool[N]."""
    carts: np.ndarray
    """bool[N]: always true where `buys`."""
    buys: np.ndarray
    """bool[N]."""


def plan_visits(config: ShopConfig, people: People) -> Visits:
    """Plan as many legs as `num_events` has room for."""
    rng = generator(config, "visits")
    buyers = np.repeat(np.arange(config.num_users), people.num_purchases)
    num_most = len(buyers) + config.num_events // 2
    activity = (people.num_purchases + 2.0) * rng.gamma(2.0, size=config.num_users)
    browsers = rng.choice(config.num_users, num_most - len(buyers), p=activity / activity.sum())
    user = np.concatenate([buyers, browsers])
    buys = np.arange(num_most) < len(buyers)
    num_views = np.minimum(rng.geometric(np.where(buys, 0.53, 0.42)), MAX_VIEWS)
    # A short shelf has little to view once the buyer owns some of it.
    num_views = np.minimum(num_views, max(1, config.num_items // len(SHELVES) - 1))
    searches = rng.random(num_most) < 0.3
    wishes = rng.random(num_most) < np.where(buys, 0.03, 0.1)
    carts = buys | (rng.random(num_most) < 0.12)
    size = num_views + searches + wishes + carts + buys
    budget = config.num_events - round(RETURN_SHARE * config.num_purchases)
    kept = buys | (np.cumsum(size) <= budget)

    user, buys, num_views, searches, wishes, carts = (
        column[kept] for column in (user, buys, num_views, searches, wishes, carts)
    )
    session, is_second = _sessions(rng, user)
    day, start_s = _times(rng, config, people, user, session, is_second)
    order = np.lexsort((start_s, is_second, day))
    return Visits(
        user=user[order],
        session=session[order],
        day=day[order],
        is_second=is_second[order],
        start_s=start_s[order],
        num_views=num_views[order],
        searches=searches[order],
        wishes=wishes[order],
        carts=carts[order],
        buys=buys[order],
    )


def _sessions(rng: np.random.Generator, user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group the legs of each user into sessions of one or two."""
    order = np.lexsort((rng.random(len(user)), user))
    same = np.r_[False, user[order][1:] == user[order][:-1]]
    second = same & (rng.random(len(user)) < 0.2)
    second[1:] &= ~second[:-1]
    # The line above looks at raw neighbours, so of three in a row only the first stays a second.
    session, is_second = np.empty(len(user), dtype=np.int64), np.empty(len(user), dtype=bool)
    session[order] = np.cumsum(~second) - 1
    is_second[order] = second
    return session, is_second


def _times(
    rng: np.random.Generator,
    config: ShopConfig,
    people: People,
    user: np.ndarray,
    session: np.ndarray,
    is_second: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a day after signup and a second of the day for every session."""
    num_sessions = int(session.max()) + 1
    owner = np.empty(num_sessions, dtype=np.int64)
    owner[session] = user
    days = np.arange(config.days)
    weekday = (days + config.start_s // 86400 + 3) % 7
    rhythm = _WEEKDAY_WEIGHTS[weekday] * (1.0 + 0.35 * np.exp(-(((days % 365) - 335) ** 2) / 500))
    edges = np.r_[0.0, np.cumsum(rhythm)] / rhythm.sum()
    since = edges[np.maximum(people.signup_day[owner], 0)]
    place = since + rng.random(num_sessions) * (1.0 - since)
    day = np.minimum(np.searchsorted(edges, place, side="right") - 1, config.days - 1)
    hour = rng.choice(24, size=num_sessions, p=_HOUR_WEIGHTS / _HOUR_WEIGHTS.sum())
    # Sessions last less than an hour, so none runs past midnight of the last day.
    second = np.minimum(hour * 3600 + rng.integers(0, 3600, size=num_sessions), 82800)
    return day[session], second[session]
