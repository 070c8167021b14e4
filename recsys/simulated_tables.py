"""What was simulated, in the shape of the tables of a shop: exposures, events and reviews.

A user sees a list at most once an hour; clicks follow within seconds, purchases within a minute and
reviews, stars without words, within ten: attribution has one answer.

Shape suffixes: L lists, K places.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from features.schema import Events, Exposures
from recsys.simulated_users import Truth
from recsys.simulation import Simulated
from sentiment.schema import Reviews

_HOUR_US = 3_600_000_000
_SECOND_US = 1_000_000
_CLICK_S, _PURCHASE_S, _REVIEW_S = 10, 60, 600


@dataclass(frozen=True, kw_only=True)
class SimulatedTables:
    """Frames that conform to the contracts of their names."""

    exposures: pl.DataFrame
    events: pl.DataFrame
    reviews: pl.DataFrame


def simulated_tables(
    simulated: Simulated,
    truth: Truth,
    *,
    start: datetime,
    policy: str,
    experiment: str | None = None,
    variant: str | None = None,
    policy_propensity: float = 1.0,
) -> SimulatedTables:
    """Return tables of what was simulated.

    Args:
        simulated: What was shown, and what followed.
        truth: Whose ids are used.
        start: When the first list is shown, in UTC.
        policy: Name that stands as model version and as the source of items.
        experiment: Its name, where the lists are of one.
        variant: Its variant.
        policy_propensity: Chance with which that variant was chosen.
    """
    prefix = policy if variant is None else f"{policy}-{variant}"
    num_lists, num_places = simulated.item.shape
    # The n-th list of a user is shown in the n-th hour.
    order = np.argsort(simulated.user, kind="stable")
    firsts = np.searchsorted(simulated.user[order], simulated.user[order])
    hour = np.empty(num_lists, dtype=np.int64)
    hour[order] = np.arange(num_lists) - firsts
    epoch_us = round(start.timestamp() * _SECOND_US)
    shown_us = epoch_us + hour * _HOUR_US + simulated.user * 1000
    lists = np.repeat(np.arange(num_lists), num_places)
    rows = pl.DataFrame(
        {
            "number": lists,
            "user_id": truth.user_ids[simulated.user[lists]].tolist(),
            "item_id": truth.item_ids[simulated.item.ravel()].tolist(),
            "rank": np.tile(np.arange(1, num_places + 1, dtype=np.int32), num_lists),
            "propensity": simulated.propensity.ravel(),
            "shown_us": shown_us[lists],
            "click": simulated.click.ravel(),
            "purchase": simulated.purchase.ravel(),
            "felt": simulated.felt.ravel(),
        }
    ).with_columns(
        recommendation_id=pl.format("{}-{}", pl.lit(prefix), "number"),
        experiment=pl.lit(experiment, dtype=pl.String),
        variant=pl.lit(variant, dtype=pl.String),
    )
    return SimulatedTables(
        exposures=_exposures(rows, simulated, truth, policy, policy_propensity),
        events=_events(rows),
        reviews=_reviews(rows),
    )


def after(events: pl.DataFrame, *, days: int = 1) -> datetime:
    """Return midnight after the last event, some days on, in UTC."""
    last = events["event_time"].max()
    assert isinstance(last, datetime)
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)


def _exposures(
    rows: pl.DataFrame,
    simulated: Simulated,
    truth: Truth,
    policy: str,
    policy_propensity: float,
) -> pl.DataFrame:
    offered = [truth.item_ids[row].tolist() for row in truth.candidates]
    lists = rows.group_by("number", maintain_order=True).agg(
        pl.col("recommendation_id", "user_id", "experiment", "variant", "shown_us").first(),
        items=pl.struct(
            "item_id",
            "rank",
            score=pl.col("propensity"),
            propensity=pl.col("propensity"),
            source=pl.lit(policy),
        ),
    )
    frame = lists.with_columns(
        session_id=pl.lit(None, dtype=pl.String),
        surface=pl.lit("home"),
        policy_propensity=pl.lit(policy_propensity),
        model_version=pl.lit(policy),
        degraded=pl.lit(None, dtype=pl.String),
        candidates=pl.Series([offered[user] for user in simulated.user], dtype=pl.List(pl.String)),
        event_time=_time("shown_us"),
        seq=pl.col("number").cast(pl.Int64),
    )
    return Exposures.validate(frame.select(Exposures.create_empty().columns), cast=True)


def _events(rows: pl.DataFrame) -> pl.DataFrame:
    kinds = (("impression", 0, pl.lit(True)), ("click", _CLICK_S, pl.col("click")))
    parts = []
    for kind, later_s, happened in (*kinds, ("purchase", _PURCHASE_S, pl.col("purchase"))):
        parts.append(
            rows.filter(happened).select(
                "user_id",
                "item_id",
                "experiment",
                "variant",
                event_id=pl.format("{}-{}-{}", pl.lit(kind), "recommendation_id", "rank"),
                session_id=pl.lit(None, dtype=pl.String),
                event_type=pl.lit(kind),
                query=pl.lit(None, dtype=pl.String),
                quantity=pl.lit(1 if kind == "purchase" else None, dtype=pl.Int32),
                price_cents=pl.lit(1000 if kind == "purchase" else None, dtype=pl.Int64),
                event_time=_time("shown_us", later_s),
                surface=pl.lit("home"),
                rank=pl.col("rank"),
                propensity=pl.col("propensity"),
            )
        )
    events = pl.concat(parts).sort("event_time", "event_id").with_row_index("seq")
    return Events.validate(events.select(Events.create_empty().columns), cast=True)


def _reviews(rows: pl.DataFrame) -> pl.DataFrame:
    felt = rows.filter(pl.col("felt").is_not_nan()).sort("shown_us", "recommendation_id", "rank")
    reviews = felt.with_row_index("seq").select(
        "user_id",
        "item_id",
        "seq",
        review_id=pl.format("review-{}-{}", "recommendation_id", "rank"),
        rating=3.0 + 2.0 * pl.col("felt"),
        title=pl.lit(None, dtype=pl.String),
        text=pl.lit(None, dtype=pl.String),
        source=pl.lit("review"),
        thread_id=pl.lit(None, dtype=pl.String),
        verified=pl.lit(True),
        helpful_votes=pl.lit(0, dtype=pl.Int64),
        event_time=_time("shown_us", _REVIEW_S),
    )
    return Reviews.validate(reviews.select(Reviews.create_empty().columns), cast=True)


def _time(column: str, later_s: int = 0) -> pl.Expr:
    moved = (pl.col(column) + later_s * _SECOND_US).cast(pl.Int64)
    return moved.cast(pl.Datetime("us", "UTC"))
