"""Logs of an experiment with a known truth."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recsys.abtest.analysis import Analysis, analyse
from recsys.abtest.plan import Plan, parse_plan

START = datetime(2026, 9, 1, tzinfo=UTC)
NUM_DAYS = 14
END = START + timedelta(days=NUM_DAYS)
DONE = END + timedelta(days=7)

PLAN = """
name = "sentiment-rerank"
start = 2026-09-01T00:00:00Z
end = 2026-09-15T00:00:00Z
window_days = 7
pre_period_days = 14

[minimum_effect]
relative = 0.05

[[metrics]]
name = "purchases"
kind = "mean"
role = "primary"
event = "purchase"
"""


def plan_of(extra: str = "", *, top: str = "") -> Plan:
    """Return the small plan with more in it: `top` before its sections, `extra` after them."""
    return parse_plan(top + PLAN + extra)


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Exposures and outcomes as frames."""

    exposures: pl.DataFrame
    outcomes: pl.DataFrame
    extra: dict[str, Any] = field(default_factory=dict)

    def analyse(self, plan: Plan, *, as_of: datetime = DONE, **options: Any) -> Analysis:
        """Analyse these logs."""
        return analyse(plan, self.exposures.lazy(), self.outcomes.lazy(), as_of=as_of, **options)


def logs(
    *,
    num_users: int = 4000,
    effect: float = 0.5,
    seed: int = 0,
    share: float = 0.5,
    polarity_effect: float = 0.0,
) -> Logs:
    """Return logs in which the treatment adds `effect` purchases a user to about two.

    A user's taste moves purchases before and after alike, so that the pre-period tells something.
    """
    rng = np.random.default_rng(seed)
    user = np.array([f"u{n:06d}" for n in range(num_users)])
    treated = rng.random(num_users) < share
    taste = rng.gamma(4.0, 0.5, num_users)
    entry = rng.random(num_users) * NUM_DAYS
    num_shown = 1 + rng.poisson(2.0, num_users)
    shown_user = np.repeat(np.arange(num_users), num_shown)
    first = np.concatenate([[True], shown_user[1:] != shown_user[:-1]])
    later = np.where(first, 0.0, rng.random(len(shown_user)) * 3)
    shown_at = np.minimum(entry[shown_user] + later, NUM_DAYS - 1e-3)
    exposures = pl.DataFrame(
        {
            "recommendation_id": [f"r{n}" for n in range(len(shown_user))],
            "user_id": user[shown_user],
            "variant": np.where(treated[shown_user], "treatment", "control"),
            "experiment": "sentiment-rerank",
            "policy_propensity": np.where(treated[shown_user], share, 1 - share),
            "surface": np.where(shown_user % 3 == 0, "home", "item"),
            "event_time": _times(shown_at),
        }
    )
    after = rng.poisson(np.maximum(0.0, taste + effect * treated))
    before = rng.poisson(2 * taste)
    who = np.concatenate([np.repeat(np.arange(num_users), n) for n in (after, before)])
    when = np.concatenate(
        [
            np.repeat(entry, after) + rng.random(after.sum()) * 7,
            np.repeat(entry, before) - rng.random(before.sum()) * 14 - 1e-6,
        ]
    )
    cents = np.round(rng.lognormal(7.0, 0.5, len(who))).astype(int)
    bought = pl.DataFrame(
        {
            "user_id": user[who],
            "event_type": "purchase",
            "event_time": _times(when),
            "price_cents": cents,
            "quantity": np.ones(len(who), dtype=int),
            "experiment": pl.Series([None] * len(who), dtype=pl.String),
            "polarity": pl.Series([None] * len(who), dtype=pl.Float64),
        }
    )
    writers = np.flatnonzero(rng.random(num_users) < 0.3)
    opinion = np.tanh(rng.normal(0.3 + polarity_effect * treated[writers], 0.6))
    reviews = pl.DataFrame(
        {
            "user_id": user[writers],
            "event_type": "review",
            "event_time": _times(entry[writers] + rng.random(len(writers)) * 7),
            "polarity": opinion,
        }
    )
    return Logs(
        exposures=exposures,
        outcomes=pl.concat([bought, reviews], how="diagonal"),
        extra={"treated": treated, "after": after, "before": before, "user": user},
    )


def _times(days: np.ndarray) -> pl.Series:
    """Return times so many days after the start."""
    start = int(START.timestamp() * 1_000_000)
    return pl.Series((days * 86_400e6).astype(np.int64) + start).cast(pl.Datetime("us", "UTC"))
