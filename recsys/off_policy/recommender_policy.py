"""A bundle's recommender as a policy: how it would have ordered what could have been shown.

The models are those of the bundle; what they know of users is what was known when each list was
shown, taken anew at the start of every period.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from features.histories import browse_history, browse_log, purchase_history
from features.profiles import user_profiles, visible_state
from features.visibility import Visible, everything
from recsys.errors import PolicyError
from recsys.interactions import IdMap
from recsys.off_policy.exposure_rows import MOST_DAYS
from recsys.query import Population, Query
from recsys.recommender import Recommender
from recsys.world import ShopTables

_LIST_COLUMNS = ("list_id", "user_id", "event_time", "candidates")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a recommender thinks of lists.

    Attributes:
        scores: `list_id, item_id, score`; candidates that it would not show have no row.
        num_lists: Lists that were asked about.
        num_silent: Of these, lists of whose candidates it would show none.
    """

    scores: pl.DataFrame
    num_lists: int
    num_silent: int


def population_of(shop: ShopTables, visible: Visible, items: IdMap) -> Population:
    """Return all users with what is visible of them.

    Args:
        shop: The tables; `items` and `signals` of it are used.
        visible: Events and reviews that may be seen.
        items: Of the recommender that is to be asked; others are left out of histories.
    """
    signals = shop.signals.lazy()
    users = IdMap.of([*visible.events["user_id"].unique(), *visible.reviews["user_id"].unique()])
    state = visible_state(shop.items.lazy(), visible, signals)
    return Population.from_frames(
        purchase_history(visible, signals),
        browse_history(browse_log(visible)),
        user_profiles(state, visible.as_of),
        users=users,
        items=items,
    )


def recommender_scores(
    rows: pl.DataFrame, shop: ShopTables, recommender: Recommender, *, refresh_days: float = 7.0
) -> Scored:
    """Score the candidates of every list.

    Args:
        rows: Of a log: `list_id, user_id, event_time, candidates`.
        shop: What is known of users, with times.
        recommender: Who is asked.
        refresh_days: Period after which what is known of users is taken anew.

    Raises:
        PolicyError: If a column is missing, the period is out of range, or no candidate of any list
            is known.
    """
    missing = [name for name in _LIST_COLUMNS if name not in rows.columns]
    if missing:
        raise PolicyError(
            f"a bundle cannot be asked without {', '.join(missing)}: the log must say who asked, "
            "when, and what could have been shown"
        )
    if not 0 < refresh_days <= MOST_DAYS:
        raise PolicyError(
            f"refresh_days is {refresh_days}, wanted above 0 and at most {MOST_DAYS:,}"
        )
    lists = rows.select(_LIST_COLUMNS).unique("list_id", keep="first").sort("event_time", "list_id")
    found, num_silent = [], 0
    for as_of, part in _periods(lists, timedelta(days=refresh_days)):
        visible = everything(shop.events, shop.reviews, as_of=as_of)
        population = population_of(shop, visible, recommender.items)
        user_idx = population.users.index(part["user_id"])
        for user, list_id, candidates in zip(
            user_idx.tolist(), part["list_id"], part["candidates"], strict=True
        ):
            item, score = _asked(recommender, population, user, candidates)
            num_silent += not len(item)
            found.append(
                pl.DataFrame(
                    {"item_id": recommender.items.ids[item].tolist(), "score": score},
                    schema={"item_id": pl.String, "score": pl.Float64},
                ).with_columns(list_id=pl.lit(list_id))
            )
    if num_silent == len(lists):
        raise PolicyError(
            f"the bundle would show none of the candidates of all {len(lists):,} lists: it is of "
            "another shop, or all were bought before"
        )
    return Scored(
        scores=pl.concat(found).select("list_id", "item_id", "score"),
        num_lists=len(lists),
        num_silent=num_silent,
    )


def _periods(lists: pl.DataFrame, length: timedelta) -> Iterator[tuple[datetime, pl.DataFrame]]:
    first = lists["event_time"][0]
    number = ((lists["event_time"] - first) / length).floor().cast(pl.Int64)
    for period in number.unique().sort():
        yield first + period * length, lists.filter(number == period)


def _asked(
    recommender: Recommender, population: Population, user: int, candidates: pl.Series
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and scores of the candidates that would be shown to one user."""
    allowed = np.zeros(len(recommender.items), dtype=bool)
    known = recommender.items.index(candidates)
    allowed[known[known >= 0]] = True
    query = (
        Query.of_stranger(allowed)
        if user < 0
        else population.query(np.array([user]), allowed=allowed)
    )
    ranked, scores = recommender.rank(query)
    shown = np.isfinite(scores[0]) & (ranked.item_idx[0] >= 0)
    item = ranked.item_idx[0, shown]
    return item[allowed[item]], scores[0, shown][allowed[item]].astype(np.float64)
