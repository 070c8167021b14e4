"""For whom and for what recommendations are good: by history, by item, by group, by brand.

An average hides whom it fails. All figures are of the same users and questions as the average.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.evaluation import Evaluated
from recsys.intervals import mean_interval
from recsys.world import World

_BUCKETS = ("0", "1", "2-5", "more")
_FIRST_OF_BUCKET = (1, 2, 6)
BRAND_SIZES = ("1 item", "2-5 items", "6-20 items", "more items", "no brand")
_FIRST_OF_SIZE = (2, 6, 21)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """How good recommendations are in one group.

    Attributes:
        group: Its name.
        num: Users of the group, or targets where items are grouped.
        ndcg: Mean NDCG@10; of targets: what each would count as the only one, 1 / log2(rank + 2).
        low: Lower end of its 95% interval.
        high: Upper end.
        recall_100: Mean Recall@100; of targets the share found.
    """

    group: str
    num: int
    ndcg: float
    low: float
    high: float
    recall_100: float


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What brands of one size are given.

    Attributes:
        group: One of `BRAND_SIZES`.
        items: Their share of the catalogue.
        purchases: Their share of what is visibly bought.
        places: Their share of the first ten places of all lists.
        targets: Their share of what was to be found.
        ndcg: Of these targets, see `Slice`; None where there is none.
    """

    group: str
    items: float
    purchases: float
    places: float
    targets: float
    ndcg: float | None


def by_history(world: World, measured: Evaluated) -> list[Slice]:
    """Return quality by how many distinct items each asked user has visibly bought."""
    lengths = np.diff(world.population.bought.indptr)[world.asked]
    return _slices(_buckets(lengths), _BUCKETS, measured.ndcg, measured.recall_100)


def by_item_reviews(world: World, measured: Evaluated) -> list[Slice]:
    """Return quality by how many visible reviews a target has."""
    reviews = world.item_profiles["num_reviews"].fill_null(0).to_numpy()[world.target_item]
    return _by_target(world, _buckets(reviews), measured)


def by_item_purchases(world: World, measured: Evaluated) -> list[Slice]:
    """Return quality by how often a target has visibly been bought; 0 is a cold item."""
    bought = world.population.bought.popularity()[world.target_item]
    return _by_target(world, _buckets(bought), measured)


def by_user_group(world: World, measured: Evaluated, groups: pl.DataFrame) -> list[Slice]:
    """Return quality by a group of users, largest first.

    Args:
        world: The questions.
        measured: The answers.
        groups: `user_id, group`, one row a user; of users without a row the group is `unknown`.
    """
    asked = pl.DataFrame({"user_id": world.population.users.ids[world.asked].tolist()})
    named = asked.join(groups, on="user_id", how="left", maintain_order="left")
    of_user = named["group"].fill_null("unknown")
    names = of_user.value_counts(sort=True)["group"].to_list()
    places = {name: place for place, name in enumerate(names)}
    codes = np.array([places[name] for name in of_user])
    return _slices(codes, names, measured.ndcg, measured.recall_100)


def brand_exposure(world: World, measured: Evaluated) -> list[Exposure]:
    """Return what brands are given by their number of items in the catalogue."""
    brands = world.item_profiles["brand"]
    num_items = brands.to_frame().select(pl.len().over("brand")).to_series().to_numpy()
    size = np.searchsorted(_FIRST_OF_SIZE, num_items, side="right")
    size = np.where(brands.is_null().to_numpy(), len(BRAND_SIZES) - 1, size)
    shown = measured.lists[measured.lists >= 0]
    bought = world.population.bought.popularity()
    gained = _gains(measured.ranks)
    of_target = size[world.target_item]
    found = []
    for place, group in enumerate(BRAND_SIZES):
        inside = size == place
        targets = of_target == place
        if inside.any():
            found.append(
                Exposure(
                    group=group,
                    items=float(inside.mean()),
                    purchases=_share(bought[inside].sum(), bought.sum()),
                    places=_share(inside[shown].sum(), len(shown)),
                    targets=_share(targets.sum(), len(targets)),
                    ndcg=float(gained[targets].mean()) if targets.any() else None,
                )
            )
    return found


def spread(slices: Sequence[Slice], *, least: int = 30) -> float:
    """Return how far the best served group is from the worst, of those with enough users.

    >>> a = Slice(group="a", num=50, ndcg=0.25, low=0.2, high=0.3, recall_100=0.5)
    >>> b = Slice(group="b", num=40, ndcg=0.75, low=0.6, high=0.9, recall_100=0.5)
    >>> spread([a, b]), spread([a, b], least=45)
    (0.5, 0.0)
    """
    values = [found.ndcg for found in slices if found.num >= least]
    return max(values) - min(values) if values else 0.0


def _by_target(world: World, codes: np.ndarray, measured: Evaluated) -> list[Slice]:
    found = (measured.ranks < 100).astype(np.float64)
    user = np.repeat(world.asked, np.diff(world.target_indptr))
    return _slices(codes, _BUCKETS, _gains(measured.ranks), found, user)


def _gains(ranks: np.ndarray) -> np.ndarray:
    return np.where(ranks < 10, 1.0 / np.log2(np.where(ranks < 10, ranks, 0) + 2), 0.0)


def _buckets(counts: np.ndarray) -> np.ndarray:
    return np.searchsorted(_FIRST_OF_BUCKET, counts, side="right")


def _slices(
    codes: np.ndarray,
    names: Sequence[str],
    ndcg: np.ndarray,
    recall_100: np.ndarray,
    user: np.ndarray | None = None,
) -> list[Slice]:
    found = []
    for code, name in enumerate(names):
        inside = codes == code
        if inside.any():
            low, high = mean_interval(ndcg[inside], user=None if user is None else user[inside])
            found.append(
                Slice(
                    group=name,
                    num=int(inside.sum()),
                    ndcg=float(ndcg[inside].mean()),
                    low=low,
                    high=high,
                    recall_100=float(recall_100[inside].mean()),
                )
            )
    return found


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
