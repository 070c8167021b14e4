"""A question to the recommender: what B users bought and browsed, before the moment of asking."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.interactions import Histories, IdMap, Interactions

# User profile columns that enter the ranker, with the divisor that brings them near one.
USER_COLUMNS: dict[str, float] = {
    "num_purchases": 10.0,
    "num_views": 100.0,
    "num_returns": 5.0,
    "num_reviews": 10.0,
    "stars_mean": 5.0,
    "polarity_mean": 1.0,
    "negative_share": 1.0,
    "stars_above_crowd": 1.0,
}


@dataclass(frozen=True, kw_only=True)
class Near:
    """What was looked up for B users before they are asked about.

    Attributes:
        vectors: Of the query tower, float32, shape (B, D).
        item_idx: Items with the greatest products, best first, -1 for padding, shape (B, N).
    """

    vectors: np.ndarray
    item_idx: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Everything that B users bought, for the one source that offers it again.

    Attributes:
        purchases: One row a purchase, oldest first.
        now: The moment of asking, microseconds since the epoch.
    """

    purchases: Histories
    now: int


@dataclass(frozen=True, kw_only=True)
class Query:
    """B users.

    Attributes:
        bought: Distinct items bought, oldest first, with how each was felt about.
        browsed: Distinct items browsed, by last browse time; `sentiment` carries browse strength.
        user: Profile columns of `USER_COLUMNS`, NaN where unknown, float32, shape (B, len).
        allowed: Which items may be offered, bool, shape (I,); None allows all.
        near: Of the two-tower source; None where it has to look itself.
        repeats: What may be offered again; None for nothing.
    """

    bought: Histories
    browsed: Histories
    user: np.ndarray
    allowed: np.ndarray | None = None
    near: Near | None = None
    repeats: Repeats | None = None

    def __len__(self) -> int:
        """Return the number of users B."""
        return len(self.bought)

    @classmethod
    def of_stranger(cls, allowed: np.ndarray | None = None) -> "Query":
        """Return the question of one user of whom nothing is known."""
        user = np.full((1, len(USER_COLUMNS)), np.nan, dtype=np.float32)
        return cls(
            bought=Histories.empty(1), browsed=Histories.empty(1), user=user, allowed=allowed
        )

    @classmethod
    def of_repeats(cls, repeats: Repeats) -> "Query":
        """Return the question of users of whom nothing counts but what they bought, repeats too."""
        num_users = len(repeats.purchases)
        user = np.full((num_users, len(USER_COLUMNS)), np.nan, dtype=np.float32)
        none = Histories.empty(num_users)
        return cls(bought=none, browsed=none, user=user, repeats=repeats)


def browsing_interactions(
    browsing: pl.DataFrame, *, users: IdMap, items: IdMap, repeats: bool = False
) -> Interactions:
    """Build from `features.histories` frames of browsing; `sentiment` carries the strength."""
    frame = browsing.with_columns(polarity=pl.col("strength"), stars=pl.lit(None, dtype=pl.Float32))
    return Interactions.from_frame(frame, users=users, items=items, repeats=repeats)


@dataclass(frozen=True, kw_only=True)
class Population:
    """All users of one visible world, from which queries are cut.

    Attributes:
        users: User ids.
        bought: Purchases, one row a user and item.
        browsed: Browsing, one row a user and item; `sentiment` carries browse strength.
        user: Profile columns of `USER_COLUMNS`, float32, shape (U, len).
    """

    users: IdMap
    bought: Interactions
    browsed: Interactions
    user: np.ndarray

    @classmethod
    def from_frames(
        cls,
        purchases: pl.DataFrame,
        browsing: pl.DataFrame,
        profiles: pl.DataFrame,
        *,
        users: IdMap,
        items: IdMap,
    ) -> "Population":
        """Build from `features.histories` frames and user profiles (missing users allowed)."""
        frame = pl.DataFrame({"user_id": pl.Series(users.ids.tolist(), dtype=pl.String)}).join(
            profiles, on="user_id", how="left", maintain_order="left"
        )
        columns = [
            frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() / divisor
            for name, divisor in USER_COLUMNS.items()
        ]
        return cls(
            users=users,
            bought=Interactions.from_frame(purchases, users=users, items=items),
            browsed=browsing_interactions(browsing, users=users, items=items),
            user=np.stack(columns, axis=1).astype(np.float32),
        )

    def query(self, users: np.ndarray, allowed: np.ndarray | None = None) -> Query:
        """Return the question for the given user indices, shape (B,), over the allowed items."""
        return Query(
            bought=self.bought.histories(users),
            browsed=self.browsed.histories(users),
            user=self.user[users],
            allowed=allowed,
        )
