"""Models of outcomes from a shop's tables: what users known at times past went on to do.

    now - horizon - 2 every   now - horizon - every   now - horizon            now
    rows, told by then        rows, told by then      rows, told by now        users are told

Each row is a user at a time: features as of then, and whether the outcome came within the horizon.
No label of a row reaches beyond `now`. A back-test asks the same at times whose outcome is known.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.outcome_labels import labelled_users
from features.profile_state import ProfileState
from features.profiles import user_features, visible_state
from features.visibility import everything
from recsys.errors import NotEnoughDataError
from recsys.propensity import (
    FEATURES,
    RFM,
    PropensityConfig,
    PropensityModel,
    feature_matrix,
    fit_propensity,
)
from recsys.propensity_evaluation import OutcomeFigures, auc_gain, outcome_figures
from recsys.world import ShopTables

OURS, LOGISTIC, TREES = "all features", "RFM, logistic", "RFM, trees"

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

    @property
    def told(self) -> str:
        """What it asks, in words."""
        return f"{self.outcome} within {self.horizon_days} days"

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
        user_features(_state(tables, time), time)
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


def _state(tables: ShopTables, as_of: datetime) -> ProfileState:
    visible = everything(tables.events, tables.reviews, as_of=as_of)
    return visible_state(tables.items.lazy(), visible, tables.signals.lazy())


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
    return fit_rows(_learned_rows(tables, question, now), names, config)


def fit_rows(
    rows: pl.DataFrame, names: Sequence[str], config: PropensityConfig = _DEFAULT
) -> PropensityModel:
    """Fit to rows of `user_id`, `label` (0 or 1) and the named features.

    Raises:
        NotEnoughDataError: If either outcome is rare.
    """
    _, user = np.unique(rows["user_id"].to_numpy(), return_inverse=True)
    return fit_propensity(
        feature_matrix(rows, names), rows["label"].to_numpy(), user, names=names, config=config
    )


def _learned_rows(tables: ShopTables, question: OutcomeQuestion, now: datetime) -> pl.DataFrame:
    """Return rows whose outcome is known at `now`."""
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
    return outcome_rows(dataclasses.replace(tables, events=known), question, times)


@dataclass(frozen=True, kw_only=True)
class BackTest:
    """How well an outcome was told at times past, strictly from what was known then.

    Attributes:
        figures: Of our model and of the peers, which read recency, frequency and money alone: a
            logistic regression on their logarithms, and the same trees as ours.
        gains: By how much our AUC is above each peer's, with the ends of its 95% interval.
        num_asked: Users asked about, over all times.
        num_outcomes: With the outcome.
        importance: Share of gain of each feature of the last model.
    """

    figures: dict[str, OutcomeFigures]
    gains: dict[str, tuple[float, float, float]]
    num_asked: int
    num_outcomes: int
    importance: dict[str, float]


def back_test(
    tables: ShopTables,
    question: OutcomeQuestion,
    times: Sequence[datetime],
    *,
    config: PropensityConfig = _DEFAULT,
) -> BackTest:
    """Learn before each time, tell what comes within the horizon after it, and compare.

    Args:
        tables: The shop's tables, to the end of the last horizon at least.
        question: What is to be told.
        times: When.
        config: How the trees grow.

    Raises:
        NotEnoughDataError: If there is too little to learn from before a time, or all users did
            the same.
    """
    told: dict[str, list[np.ndarray]] = {OURS: [], LOGISTIC: [], TREES: []}
    asked = []
    importance: dict[str, float] = {}
    for now in times:
        rows, learned = outcome_rows(tables, question, [now]), _learned_rows(tables, question, now)
        for name, names in ((OURS, FEATURES), (TREES, RFM)):
            model = fit_rows(learned, names, config)
            told[name].append(model.predict(feature_matrix(rows, names)))
            importance = model.importance() if name == OURS else importance
        peer = make_pipeline(StandardScaler(), LogisticRegression())
        peer.fit(_rfm(learned), learned["label"].to_numpy())
        told[LOGISTIC].append(peer.predict_proba(_rfm(rows))[:, 1])
        asked.append(rows.select("user_id", "label"))
    all_asked = pl.concat(asked)
    label = all_asked["label"].to_numpy()
    if not 0 < label.sum() < len(label):
        raise NotEnoughDataError(
            f"of {len(label):,} users {label.sum():,} had the outcome {question.outcome}: how well "
            "it was told cannot be measured"
        )
    _, user = np.unique(all_asked["user_id"].to_numpy(), return_inverse=True)
    scores = {name: np.concatenate(parts) for name, parts in told.items()}
    return BackTest(
        figures={name: outcome_figures(score, label, user) for name, score in scores.items()},
        gains={
            name: auc_gain(scores[OURS], scores[name], label, user) for name in (LOGISTIC, TREES)
        },
        num_asked=len(label),
        num_outcomes=int(label.sum()),
        importance=importance,
    )


def _rfm(rows: pl.DataFrame) -> np.ndarray:
    """Return logarithms of recency, frequency and money, and who never bought, shape (N, 4)."""
    values = feature_matrix(rows, RFM)
    never = np.isnan(values[:, 0])
    recency = np.where(never, 0.0, values[:, 0])
    return np.column_stack([np.log1p(recency), never, np.log1p(np.maximum(values[:, 1:], 0.0))])
