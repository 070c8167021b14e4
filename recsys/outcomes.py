"""Models of outcomes from a shop's tables: what users known at times past went on to do.

    now - horizon - 2 every   now - horizon - every   now - horizon            now
    rows, told by then        rows, told by then      rows, told by now        users are told

Each row is a user at a time: features as of then, and whether the outcome came within the horizon.
No label of a row reaches beyond `now`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from features.outcome_labels import labelled_users
from features.profiles import user_features
from features.visibility import everything
from recsys.errors import NotEnoughDataError
from recsys.propensity import (
    FEATURES,
    PropensityConfig,
    PropensityModel,
    feature_matrix,
    fit_propensity,
)
from recsys.world import ShopTables

_DEFAULT = PropensityConfig()


@dataclass(frozen=True, kw_only=True)
class OutcomeQuestion:
    """What is to be told.

    Attributes:
        outcome: One of `features.outcome_labels.OUTCOMES`.
        horizon_days: Within how many whole days (features are cut to days), at least 1.
        num_times: Times past to learn from, at most.
        every_days: Between them, whole days, at least 1.
    """

    outcome: str
    horizon_days: int
    num_times: int = 4
    every_days: int = 30

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.horizon_days, self.every_days, self.num_times) < 1:
            raise ValueError("horizon_days, every_days and num_times are at least 1")

    def times(self, now: datetime, first: datetime) -> list[datetime]:
        """Return the times to learn from, the earliest first, all after the first event."""
        last = now - timedelta(days=self.horizon_days)
        every = timedelta(days=self.every_days)
        found = [last - number * every for number in range(self.num_times)]
        return sorted(time for time in found if time > first)


def outcome_rows(
    tables: ShopTables, question: OutcomeQuestion, times: Sequence[datetime]
) -> pl.DataFrame:
    """Return one row a user and time: `user_id, as_of, label` and the declared user features."""
    rows = [
        user_features(
            tables.items.lazy(),
            everything(tables.events, tables.reviews, as_of=time),
            tables.signals.lazy(),
        )
        .collect()
        .join(
            labelled_users(
                tables.events.lazy(),
                outcome=question.outcome,
                as_of=time,
                horizon_days=question.horizon_days,
            ),
            on="user_id",
        )
        .with_columns(as_of=pl.lit(time))
        .sort("user_id")
        for time in times
    ]
    return pl.concat(rows)


def fit_outcome(
    tables: ShopTables,
    question: OutcomeQuestion,
    *,
    now: datetime,
    names: Sequence[str] = FEATURES,
    config: PropensityConfig = _DEFAULT,
) -> PropensityModel:
    """Learn an outcome from what is known at `now`; events from then on are not read.

    Raises:
        NotEnoughDataError: If the events do not reach back a horizon, or either outcome is rare.
    """
    known = tables.events.filter(pl.col("event_time") < now)
    first, last = known["event_time"].min(), known["event_time"].max()
    times = []
    if isinstance(first, datetime) and isinstance(last, datetime):
        # Days without any event are not known to be days without a purchase.
        times = question.times(min(now, last + timedelta(microseconds=1)), first)
    if not times:
        raise NotEnoughDataError(
            f"to tell {question.outcome} within {question.horizon_days} days, events must reach "
            "further back than that"
        )
    past = ShopTables(
        items=tables.items, events=known, reviews=tables.reviews, signals=tables.signals
    )
    rows = outcome_rows(past, question, times)
    _, user = np.unique(rows["user_id"].to_numpy(), return_inverse=True)
    return fit_propensity(
        feature_matrix(rows, names), rows["label"].to_numpy(), user, names=names, config=config
    )
