"""A user's question with what they did since the side tables were made.

Shape suffixes: H rows of one user.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from recsys.interactions import Histories
from recsys.query import USER_COLUMNS, Query
from serving.live_users import LiveUser

SESSION_STRENGTH = 1.0
"""How strongly an item of a session counts as browsed: as one view."""


def with_live(query: Query, live: LiveUser, index: Mapping[str, int]) -> Query:
    """Return the question of one user with fresh purchases, browsing and opinions.

    Args:
        query: Of one user, as the side tables know them.
        live: What happened since.
        index: Item index by id; items outside it are left out.

    Returns:
        The question; what the user called a wrong reason is not among what was bought, see
        `hidden_items`.
    """
    return Query(
        bought=_bought(query.bought, live, index),
        browsed=_browsed(query.browsed, live.browsed, index),
        user=_profile(query.user, live.counts),
        allowed=query.allowed,
    )


def with_session(query: Query, items: Sequence[int], now: int) -> Query:
    """Return the question with items that are looked at right now, the last one last.

    Args:
        query: Of one user.
        items: Item indices.
        now: Microseconds since the epoch.
    """
    fresh = _rows(items, [now] * len(items), SESSION_STRENGTH)
    return Query(
        bought=query.bought,
        browsed=_joined(query.browsed, fresh).merged(),
        user=query.user,
        allowed=query.allowed,
    )


def hidden_items(live: LiveUser, index: Mapping[str, int]) -> list[int]:
    """Return items that must not be offered though they are not among what counts as bought."""
    return [index[item] for item in live.dismissed | live.wrong_causes if item in index]


def _bought(bought: Histories, live: LiveUser, index: Mapping[str, int]) -> Histories:
    known = set(bought.item_idx.tolist())
    new = {
        index[item_id]: time
        for item_id, time in live.bought.items()
        if item_id in index and index[item_id] not in known
    }
    joined = _joined(bought, _rows(list(new), list(new.values()), np.nan)) if new else bought
    felt = {index[item_id]: said for item_id, said in live.felt().items() if item_id in index}
    no_taste = {index[item_id] for item_id in live.wrong_causes if item_id in index}
    sentiment = joined.sentiment.copy()
    kept = np.ones(len(sentiment), dtype=bool)
    for row, item in enumerate(joined.item_idx.tolist()):
        sentiment[row] = felt.get(item, sentiment[row])
        kept[row] = item not in no_taste
    return _chosen(joined, sentiment, kept)


def _browsed(
    browsed: Histories, live: Mapping[str, tuple[int, float]], index: Mapping[str, int]
) -> Histories:
    rows = sorted(
        (time, index[item_id], strength)
        for item_id, (time, strength) in live.items()
        if item_id in index
    )
    if not rows:
        return browsed
    times, items, strengths = zip(*rows, strict=True)
    return _joined(browsed, _rows(items, times, strengths)).merged()


def _profile(user: np.ndarray, counts: Mapping[str, float]) -> np.ndarray:
    """Return profile columns with what was counted since, float32, shape (1, len).

    Counts add up. A mean needs how many it is of, which profiles tell of reviews alone: where all
    of them had stars and words, it is exact.
    """
    if not counts:
        return user
    told = dict(zip(USER_COLUMNS, user[0].tolist(), strict=True))
    told = {name: value * USER_COLUMNS[name] for name, value in told.items()}
    num_reviews = np.nan_to_num(told["num_reviews"])
    for name, count in _COUNTS.items():
        told[name] = np.nan_to_num(told[name]) + counts.get(count, 0.0)
    for name, (total, count) in _MEANS.items():
        num_before = 0.0 if np.isnan(told[name]) else num_reviews
        num = num_before + counts.get(count, 0.0)
        if num:
            before = np.nan_to_num(told[name]) * num_before
            told[name] = (before + counts.get(total, 0.0)) / num
    columns = [told[name] / divisor for name, divisor in USER_COLUMNS.items()]
    return np.array([columns], dtype=np.float32)


_COUNTS = {
    "num_purchases": "purchases",
    "num_views": "views",
    "num_returns": "returns",
    "num_reviews": "reviews",
}
_MEANS = {
    "stars_mean": ("stars", "ratings"),
    "polarity_mean": ("polarity", "felt"),
    "negative_share": ("negative", "felt"),
}


def _rows(
    items: Sequence[int], times: Sequence[int], sentiment: float | Sequence[float]
) -> Histories:
    return Histories(
        indptr=np.array([0, len(items)]),
        item_idx=np.array(items, dtype=np.int32),
        event_time=np.array(times, dtype=np.int64),
        sentiment=np.broadcast_to(np.asarray(sentiment, dtype=np.float32), len(items)),
    )


def _joined(before: Histories, fresh: Histories) -> Histories:
    """Return the rows of both by time; of one time, those known before come first."""
    times_H = np.concatenate([before.event_time, fresh.event_time])
    order_H = np.argsort(times_H, kind="stable")
    return Histories(
        indptr=np.array([0, len(times_H)]),
        item_idx=np.concatenate([before.item_idx, fresh.item_idx])[order_H],
        event_time=times_H[order_H],
        sentiment=np.concatenate([before.sentiment, fresh.sentiment])[order_H],
    )


def _chosen(rows: Histories, sentiment: np.ndarray, kept: np.ndarray) -> Histories:
    return Histories(
        indptr=np.array([0, kept.sum()]),
        item_idx=rows.item_idx[kept],
        event_time=rows.event_time[kept],
        sentiment=sentiment[kept],
    )
