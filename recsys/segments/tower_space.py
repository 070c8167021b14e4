"""Users in the two-tower space: who is like some others, and who would want and love an item.

Shape suffixes: U users, I items, D dimensions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy.special import logsumexp

from recsys.errors import SegmentError
from recsys.interactions import IdMap, Interactions
from recsys.query import browsing_interactions
from recsys.query_tower import QueryTower
from recsys.recommender import Recommender
from recsys.segments.conditions import Audience
from recsys.segments.hints import nearest

_BATCH = 2048
# The last two dimensions of a query are a constant and the weight of what is popular of late.
_TASTE = slice(0, -2)

Satisfaction = Callable[[str, pl.Series], np.ndarray]
"""Gives the chance that users will be satisfied with a purchase of a category, shape (U,)."""


@dataclass(frozen=True, kw_only=True)
class TowerSpace:
    """Users of a shop as the live bundle sees them.

    Attributes:
        users: Everybody who bought or browsed anything.
        bought: Their purchases.
        browsed: What they browsed.
        recommender: Of the bundle.
        satisfaction: Predicts how users will like what they buy.
    """

    users: IdMap
    bought: Interactions
    browsed: Interactions
    recommender: Recommender
    satisfaction: Satisfaction

    @classmethod
    def of(
        cls,
        recommender: Recommender,
        purchases: pl.DataFrame,
        browsing: pl.DataFrame,
        satisfaction: Satisfaction,
    ) -> "TowerSpace":
        """Build from `features.histories` frames, of before the moment that is asked about."""
        users = IdMap.of([*purchases["user_id"].unique(), *browsing["user_id"].unique()])
        items = recommender.items
        return cls(
            users=users,
            bought=Interactions.from_frame(purchases, users=users, items=items),
            browsed=browsing_interactions(browsing, users=users, items=items),
            recommender=recommender,
            satisfaction=satisfaction,
        )

    def lookalikes(self, seeds: pl.Series, *, top: int, include_seeds: bool) -> pl.DataFrame:
        """Return the users nearest to the mean direction of seeds.

        Args:
            seeds: Ids; those who bought and browsed nothing say nothing.
            top: How many; of equally near ones those whose id sorts first.
            include_seeds: Whether seeds may be among them.

        Returns:
            `user_id, score` (cosine), `value` (whether among the nearest), of everybody with a
            history.

        Raises:
            SegmentError: No seed has a history.
        """
        taste_UD = np.concatenate([vectors[:, _TASTE] for _, vectors in self._vectors()])
        taste_UD /= np.maximum(np.linalg.norm(taste_UD, axis=1, keepdims=True), 1e-12)
        seed = np.unique(self.users.index(seeds))
        seed = seed[seed >= 0]
        if not len(seed):
            raise SegmentError(
                f"none of the {len(seeds):,} seeds bought or browsed anything: there is nothing "
                "to be like"
            )
        middle_D = taste_UD[seed].mean(0)
        score_U = taste_UD @ (middle_D / max(float(np.linalg.norm(middle_D)), 1e-12))
        is_allowed = np.ones(len(self.users), dtype=bool)
        is_allowed[seed] = include_seeds
        return self._first(score_U, is_allowed, top)

    def audience(self, asked: Audience, *, where: str) -> pl.DataFrame:
        """Return the users likeliest to want an item and to love it.

        The score is the softmax of the user's two-tower scores over the catalogue, at the item,
        times the predicted chance of satisfaction with a purchase of its narrowest category.

        Args:
            asked: The item, and how many users; of equal ones those whose id sorts first.
            where: The condition, for messages.

        Returns:
            `user_id, score, value` (whether among the likeliest), of everybody with a history.

        Raises:
            SegmentError: The bundle does not know the item.
        """
        item = int(self.recommender.items.index([asked.audience])[0])
        if item < 0:
            known = [str(name) for name in self.recommender.items.ids]
            hint = nearest(asked.audience, known)
            raise SegmentError(f"{where}: the live bundle has no item {asked.audience!r}{hint}")
        item_ID = self.recommender.towers.item_vectors
        wanted = np.empty(len(self.users))
        for rows, vectors_UD in self._vectors():
            scores_UI = vectors_UD @ item_ID.T
            wanted[rows] = scores_UI[:, item] - logsumexp(scores_UI, axis=1)
        categories = self.recommender.item_profiles["categories"][item]
        category = "" if categories is None or not len(categories) else str(categories[-1])
        satisfied_U = self.satisfaction(category, self._ids)
        is_allowed = satisfied_U >= asked.min_satisfaction
        if not asked.include_buyers:
            is_allowed[self.bought.user_idx[self.bought.item_idx == item]] = False
        return self._first(np.exp(wanted) * satisfied_U, is_allowed, asked.top)

    def _first(self, score_U: np.ndarray, is_allowed: np.ndarray, top: int) -> pl.DataFrame:
        # Users are in the order of their ids, so a stable sort decides ties by id.
        order = np.argsort(-score_U, kind="stable")
        first = order[is_allowed[order]][:top]
        value = np.zeros(len(self.users), dtype=bool)
        value[first] = True
        return pl.DataFrame({"user_id": self._ids, "score": score_U, "value": value})

    @cached_property
    def _ids(self) -> pl.Series:
        return pl.Series("user_id", self.users.ids.tolist(), dtype=pl.String)

    def _vectors(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows of users and their query vectors, some at a time."""
        r = self.recommender
        tower = QueryTower(
            weights=r.towers.query,
            features=r.features,
            history=r.config.history,
            max_history=r.config.training.max_history,
        )
        for start in range(0, len(self.users), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(self.users)))
            yield rows, tower.vectors(self.bought.histories(rows), self.browsed.histories(rows))
