"""Figures of the reports on trends and on needs: from tables to frames, nothing drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from features.histories import purchase_history
from features.item_needs import item_needs
from features.opinion import JUDGING_SOURCES
from features.visibility import Visible
from recsys.errors import NotEnoughDataError
from recsys.forecasting import ForecastConfig, SeriesForecast, forecast_series
from recsys.interactions import IdMap, Interactions
from recsys.need_clusters import MOST_NEEDS, NeedCluster, cluster_needs
from recsys.opinion_changes import opinion_changes
from recsys.trends import Trends, item_trends
from recsys.world import ShopTables

DEMAND = ForecastConfig(horizon=28, season=7, origins=4, least=0.0)
SENTIMENT = ForecastConfig(horizon=4, season=1, origins=4, least=-1.0, most=1.0)
_MOST_CATEGORIES = 6
# A week without a review takes over what was said before; too many such weeks say nothing.
_MOST_EMPTY_WEEKS = 0.2


@dataclass(frozen=True, kw_only=True)
class CategoryForecast:
    """The next weeks of one category.

    Attributes:
        category: Its name.
        what: `demand` (purchases a day) or `sentiment` (mean polarity a week).
        time: When each past value begins, datetime64[D].
        past: Values.
        forecast: What is told, None where the past is too short.
        why_not: Why, in words, where it is None.
        step_days: Days of a step.
    """

    category: str
    what: str
    time: np.ndarray
    past: np.ndarray
    forecast: SeriesForecast | None
    why_not: str | None
    step_days: int


@dataclass(frozen=True, kw_only=True)
class TrendReport:
    """What rises and falls.

    Attributes:
        as_of: When.
        trends: Of purchases, by item.
        items: `item_id, title`, in the order of `trends`.
        changes: `recsys.opinion_changes.CHANGES_SCHEMA` by what it is of: item, brand, category.
        forecasts: Of the categories bought most.
    """

    as_of: datetime
    trends: Trends
    items: pl.DataFrame
    changes: dict[str, pl.DataFrame]
    forecasts: list[CategoryForecast]


def trend_figures(shop: ShopTables, visible: Visible) -> TrendReport:
    """Return what is bought and spoken of differently than before, and what comes next."""
    items = shop.items.select(
        "item_id", "title", "brand", category=pl.col("categories").list.first()
    )
    bought = purchase_history(visible, shop.signals.lazy())
    users, ids = IdMap.of(bought["user_id"].unique()), IdMap.of(items["item_id"])
    felt = (
        visible.reviews.filter(pl.col("source").is_in(JUDGING_SOURCES))
        .join(shop.signals.filter(pl.col("embedding").is_not_null()), on="review_id")
        .join(items, on="item_id")
        .select("item_id", "brand", "category", "event_time", pl.col("polarity").cast(pl.Float64))
    )
    keys = {"item": "item_id", "brand": "brand", "category": "category"}
    named = pl.DataFrame({"item_id": ids.ids}).join(items, on="item_id", maintain_order="left")
    return TrendReport(
        as_of=visible.as_of,
        trends=item_trends(Interactions.from_frame(bought, users=users, items=ids)),
        items=named.select("item_id", "title"),
        changes={
            name: opinion_changes(felt.select("event_time", "polarity", key=key).drop_nulls("key"))
            for name, key in keys.items()
        },
        forecasts=_forecasts(visible, items, felt),
    )


def _forecasts(visible: Visible, items: pl.DataFrame, felt: pl.DataFrame) -> list[CategoryForecast]:
    bought = (
        visible.events.filter(pl.col("event_type") == "purchase")
        .join(items.select("item_id", "category"), on="item_id")
        .drop_nulls("category")
    )
    most = (
        bought["category"]
        .value_counts(sort=True)
        .sort("count", "category", descending=[True, False])
    )
    found = []
    # A day that is not over would look like a fall.
    end = visible.as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    for category in most["category"].head(_MOST_CATEGORIES).to_list():
        own = bought.filter((pl.col("category") == category) & (pl.col("event_time") < end))
        time, count = _steps(own, end, 1, pl.len())
        found.append(_forecast(category, "demand", time, np.nan_to_num(count), 1, DEMAND))
        said = felt.filter((pl.col("category") == category) & (pl.col("event_time") < end))
        time, mean = _steps(said, end, 7, pl.col("polarity").mean())
        empty = np.isnan(mean).mean() if len(mean) else 1.0
        if empty > _MOST_EMPTY_WEEKS:
            found.append(
                CategoryForecast(
                    category=category,
                    what="sentiment",
                    time=time,
                    past=mean,
                    forecast=None,
                    why_not=f"{empty:.0%} of the weeks are without a review",
                    step_days=7,
                )
            )
        else:
            filled = pl.Series(mean).fill_nan(None).forward_fill().backward_fill().to_numpy()
            found.append(_forecast(category, "sentiment", time, filled, 7, SENTIMENT))
    return found


def _forecast(
    category: str,
    what: str,
    time: np.ndarray,
    past: np.ndarray,
    step_days: int,
    config: ForecastConfig,
) -> CategoryForecast:
    told, why_not = None, None
    try:
        told = forecast_series(past, config)
    except NotEnoughDataError as error:
        why_not = str(error)
    return CategoryForecast(
        category=category,
        what=what,
        time=time,
        past=past,
        forecast=told,
        why_not=why_not,
        step_days=step_days,
    )


def _steps(
    rows: pl.DataFrame, end: datetime, days: int, value: pl.Expr
) -> tuple[np.ndarray, np.ndarray]:
    """Return when each whole step until the end begins, and its value, NaN where there is none."""
    first = rows["event_time"].min()
    if not isinstance(first, datetime):
        return np.zeros(0, dtype="datetime64[D]"), np.zeros(0)
    num = (end - first) // timedelta(days=days)
    begin = end - num * timedelta(days=days)
    step = (pl.col("event_time") - begin).dt.total_seconds() // (86400 * days)
    own = rows.filter(pl.col("event_time") >= begin).group_by(step=step).agg(value=value)
    values = np.full(num, np.nan)
    values[own["step"].to_numpy()] = own["value"].to_numpy()
    start = np.datetime64(begin.date())
    return start + days * np.arange(num), values


@dataclass(frozen=True, kw_only=True)
class NeedsReport:
    """Needs that are not met.

    Attributes:
        as_of: When.
        num_needs: Voiced in all.
        num_read: The last of them, which were gathered.
        by_kind: `kind, num_needs, num_users`.
        clusters: Those of most people first.
    """

    as_of: datetime
    num_needs: int
    num_read: int
    by_kind: pl.DataFrame
    clusters: list[NeedCluster]


def needs_figures(
    shop: ShopTables, visible: Visible, embed: Callable[[list[str]], np.ndarray]
) -> NeedsReport:
    """Gather the last `MOST_NEEDS` needs.

    Args:
        shop: The tables.
        visible: What may be seen of them.
        embed: From texts to unit vectors, shape (N, D).
    """
    needs = item_needs(visible.reviews.lazy(), shop.signals.lazy())
    read = needs.sort("event_time", "review_id", "need").tail(MOST_NEEDS)
    # Equal words have equal vectors.
    words = read["need"].unique(maintain_order=True).to_list()
    vectors = embed(words) if words else np.zeros((0, 1))
    place = {word: row for row, word in enumerate(words)}
    rows = vectors[[place[word] for word in read["need"]]] if words else vectors
    by_kind = needs.group_by("kind").agg(num_needs=pl.len(), num_users=pl.col("user_id").n_unique())
    return NeedsReport(
        as_of=visible.as_of,
        num_needs=len(needs),
        num_read=len(read),
        by_kind=by_kind.sort("num_users", "kind", descending=[True, False]),
        clusters=cluster_needs(read, rows),
    )
