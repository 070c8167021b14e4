"""The pages of trends and of needs, and the same as JSON. No script, no network."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from jobs.draw_report_figures import draw_forecast, draw_intervals
from jobs.report_page import page, picture, table, text
from jobs.trend_reports import CategoryForecast, NeedsReport, TrendReport
from jobs.write_brand_reports import rows_of
from recsys.forecasting import NAIVE, SMOOTHING

_SHOWN = 12
_SEEN_STEPS = 90
_UNITS = {"demand": "purchases a day", "sentiment": "mean polarity a week"}


def trend_json(found: TrendReport) -> dict[str, Any]:
    """Return the figures as JSON types."""
    bought = _bought(found)
    return {
        "as_of": found.as_of.isoformat(),
        "recent_days": found.trends.recent_days,
        "before_days": found.trends.before_days,
        "items": bought.filter(pl.col("num_recent") + pl.col("num_before") > 0).to_dicts(),
        "opinion_changes": {name: rows_of(frame) for name, frame in found.changes.items()},
        "forecasts": [_forecast_json(one) for one in found.forecasts],
    }


def trend_report(found: TrendReport) -> str:
    """Return the page as HTML."""
    trends = found.trends
    titles = dict(found.items.drop_nulls("title").iter_rows())
    parts = [
        "<main><h1>What rises and what falls</h1>",
        f"<p class=dim>The last {trends.recent_days} days against the {trends.before_days} before, "
        f"as of {found.as_of:%Y-%m-%d}.</p>",
        "<h2>Bought more, or less</h2>",
        *_bought_tables(found),
        "<h2>Spoken of differently</h2>",
        "<p>Mean polarity of the last 28 days less that of the 112 before; q counts how many were "
        "compared.</p>",
        *(
            _change_table(name, frame, titles if name == "item" else {})
            for name, frame in found.changes.items()
        ),
        "<h2>The next weeks</h2>",
        "<p>Two ways were tried on the past: exponential smoothing, and what was a season ago. The "
        "better one is told. MASE is the mean absolute error over that of the last season one step "
        "on; covered is how often the 90% interval held.</p>",
        _trials_table(found),
        *(_forecast_picture(one) for one in found.forecasts if one.forecast is not None),
        "</main>",
    ]
    return page("Trends", "".join(parts))


def needs_json(found: NeedsReport) -> dict[str, Any]:
    """Return the figures as JSON types; quotes carry no user."""
    return {
        "as_of": found.as_of.isoformat(),
        "num_needs": found.num_needs,
        "num_read": found.num_read,
        "by_kind": found.by_kind.to_dicts(),
        "clusters": [asdict(cluster) for cluster in found.clusters],
    }


def needs_report(found: NeedsReport) -> str:
    """Return the page as HTML."""
    parts = [
        "<main><h1>What buyers miss</h1>",
        f"<p class=dim>{found.num_needs:,} needs voiced in reviews until {found.as_of:%Y-%m-%d}, "
        f"the last {found.num_read:,} of them gathered by meaning; a wish of one person is not "
        "shown.</p>",
    ]
    if not found.clusters:
        parts.append("<p>No need was voiced by two people.</p></main>")
        return page("Needs", "".join(parts))
    shown = found.clusters[:_SHOWN]
    value = [float(one.num_users) for one in shown]
    parts += [
        "<h2>Most wanted</h2>",
        picture(
            draw_intervals(
                [one.need for one in shown], value, [0.0] * len(value), value, label="people"
            ),
            "People who voice each need: "
            + "; ".join(f"{one.need}: {one.num_users}" for one in shown[:5])
            + ".",
            "People who voiced it; rows without words are those of the table below.",
        ),
        table(
            "By kind",
            ("kind", "needs", "people"),
            [
                (row["kind"].replace("_", " "), f"{row['num_needs']:,}", f"{row['num_users']:,}")
                for row in found.by_kind.iter_rows(named=True)
            ],
        ),
        "<h2>In their own words</h2>",
        table(
            "",
            ("need", "people", "of late", "kind", "of items", "quotes"),
            [
                (
                    one.need,
                    f"{one.num_users:,}",
                    f"{one.num_recent:,}",
                    one.kind.replace("_", " "),
                    ", ".join(one.item_ids[:3]),
                    " · ".join(f"“{quote}”" for quote in one.quotes),
                )
                for one in found.clusters[: 4 * _SHOWN]
            ],
            is_words=True,
        ),
        "</main>",
    ]
    return page("Needs", "".join(parts))


def _bought(found: TrendReport) -> pl.DataFrame:
    trends = found.trends
    return found.items.with_columns(
        num_recent=pl.Series(trends.num_recent),
        num_before=pl.Series(trends.num_before),
        expected=pl.Series(trends.expected),
        rise=pl.Series(trends.rise),
        rise_low=pl.Series(trends.rise_low),
    )


def _bought_tables(found: TrendReport) -> list[str]:
    bought = _bought(found)
    rising = bought.filter(pl.col("rise_low") > 1).sort("rise_low", descending=True)
    falling = bought.filter((pl.col("rise") < 1) & (pl.col("expected") >= 5)).sort("rise")
    head = ("item", "people now", "expected", "factor", "surely above")
    return [
        table("Rising: the share of purchases has grown for certain", head, _bought_rows(rising))
        if len(rising)
        else "<p>Nothing rises for certain.</p>",
        table(
            "Falling most, of what was bought", head[:-1], [r[:-1] for r in _bought_rows(falling)]
        )
        if len(falling)
        else "<p>Nothing falls.</p>",
    ]


def _bought_rows(frame: pl.DataFrame) -> list[tuple[str, ...]]:
    return [
        (
            row["title"] or row["item_id"],
            f"{row['num_recent']:,}",
            f"{row['expected']:.1f}",
            f"{row['rise']:.2f}",
            f"{row['rise_low']:.2f}",
        )
        for row in frame.head(_SHOWN).iter_rows(named=True)
    ]


def _change_table(name: str, frame: pl.DataFrame, titles: Mapping[str, str]) -> str:
    if frame.is_empty():
        return f"<p>No {text(name)} has enough reviews in both times.</p>"
    ends = pl.concat([frame.head(_SHOWN // 2), frame.tail(_SHOWN // 2)])
    ends = ends.unique("key", maintain_order=True)
    rows = [
        (
            titles.get(row["key"], row["key"]),
            f"{row['num_recent']:,} / {row['num_before']:,}",
            f"{row['before']:+.2f}",
            f"{row['recent']:+.2f}",
            f"{row['change']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})",
            f"{row['q_value']:.2g}",
        )
        for row in ends.iter_rows(named=True)
    ]
    head = (name, "reviews now / before", "before", "now", "change (95%)", "q")
    return table(f"By {name}: the greatest falls and rises of {len(frame):,}", head, rows)


def _trials_table(found: TrendReport) -> str:
    rows = []
    for one in found.forecasts:
        if one.forecast is None:
            rows.append((one.category, one.what, one.why_not or "", "", "", ""))
            continue
        trials = one.forecast.trials
        rows.append(
            (
                one.category,
                one.what,
                one.forecast.method,
                *(f"{trials[way].mase:.2f}" for way in (SMOOTHING, NAIVE)),
                f"{trials[one.forecast.method].covered:.0%}",
            )
        )
    head = ("category", "of", "told by", "MASE smoothing", "MASE naive", "covered")
    return table("", head, rows, is_words=True)


def _forecast_picture(one: CategoryForecast) -> str:
    assert one.forecast is not None
    path, step = one.forecast.path, one.step_days
    before = one.past[-len(path.mean) :].mean()
    ahead = one.time[-1] + step * np.arange(1, len(path.mean) + 1)
    unit = _UNITS[one.what]
    figure = draw_forecast(
        one.time[-_SEEN_STEPS:], one.past[-_SEEN_STEPS:], ahead, path, label=unit
    )
    alt = (
        f"{one.category}, {unit}: {path.mean.mean():.2f} on average over the next "
        f"{len(path.mean) * step} days, after {before:.2f} in as many before."
    )
    return picture(
        figure, alt, f"{one.category}: {one.what} by {one.forecast.method}, 90% intervals."
    )


def _forecast_json(one: CategoryForecast) -> dict[str, Any]:
    told = one.forecast
    return {
        "category": one.category,
        "of": one.what,
        "step_days": one.step_days,
        "last_step": None if not len(one.time) else str(one.time[-1]),
        "why_not": one.why_not,
        "method": None if told is None else told.method,
        "trials": None if told is None else {name: asdict(t) for name, t in told.trials.items()},
        "forecast": None
        if told is None
        else {name: values.tolist() for name, values in asdict(told.path).items()},
    }
