"""The pages of satisfaction and of brands, and the same as JSON. No script, no network."""

from datetime import datetime
from typing import Any

import polars as pl
import polars.selectors as cs

from jobs.brand_reports import BrandReport, SatisfactionReport
from jobs.draw_report_figures import draw_intervals, draw_lines
from jobs.report_page import page, picture, table, text

_SHOWN, _LINES = 15, 4
_INTERVAL = (
    "The line is the 95% interval; the dotted line is the mean of those shown. A name in a script "
    "that cannot be drawn is told by its row in the table below."
)


def rows_of(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a frame as JSON types."""
    return frame.with_columns(cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts()


def satisfaction_json(found: SatisfactionReport) -> dict[str, Any]:
    """Return the figures as JSON types."""
    return {
        "as_of": found.as_of.isoformat(),
        "period": found.period,
        "by": {name: rows_of(frame) for name, frame in found.by.items()},
        "brand_periods": rows_of(found.brand_periods),
    }


def satisfaction_report(found: SatisfactionReport) -> str:
    """Return the page as HTML."""
    parts = [
        "<main><h1>How satisfied buyers are</h1>",
        f"<p class=dim>0 to 100, as of {found.as_of:%Y-%m-%d}. Stars, words and kept purchases "
        "together, small groups pulled towards the mean of all.</p>",
        "<h2>Over time</h2>",
        _by_period(found),
    ]
    for key in ("brand", "category", "aspect"):
        parts += [f"<h2>By {key}</h2>", _by_key(found.by[key], key)]
    parts += ["<h2>Brands over time</h2>", _brands_over_time(found), "</main>"]
    return page("Satisfaction", "".join(parts))


def brand_json(found: BrandReport) -> dict[str, Any]:
    """Return the figures as JSON types."""
    return {
        "as_of": found.as_of.isoformat(),
        "period": found.period,
        "voice": rows_of(found.voice),
        "voice_periods": rows_of(found.voice_periods),
        "satisfaction": rows_of(found.satisfaction),
        "complaints": rows_of(found.complaints),
    }


def brand_report(found: BrandReport) -> str:
    """Return the page as HTML."""
    most = found.voice.head(_SHOWN)
    parts = [
        "<main><h1>What is said of brands</h1>",
        f"<p class=dim>{found.voice['num_reviews'].sum():,} reviews of "
        f"{len(found.voice):,} brands, as of {found.as_of:%Y-%m-%d}.</p>",
    ]
    if most.is_empty():
        return page("Brands", "".join([*parts, "<p>No review is of a branded item.</p></main>"]))
    parts += [
        "<h2>Share of voice</h2>",
        _dots(most, "brand", ("share", "low", "high"), 100, "share of all reviews, %"),
        "<h2>Sentiment</h2>",
        _dots(
            most,
            "brand",
            ("negative", "negative_low", "negative_high"),
            100,
            "share of its reviews that are negative, %",
        ),
        table(
            "The brands of which most is said",
            ("brand", "reviews", "share", "negative", "polarity", "satisfaction"),
            [_brand_row(row, found.satisfaction) for row in most.iter_rows(named=True)],
        ),
        f"<h2>Share of voice by {text(found.period)}</h2>",
        _voice_lines(found, "share", "share of all reviews, %", 100),
        f"<h2>Sentiment by {text(found.period)}</h2>",
        _voice_lines(found, "polarity", "mean polarity, -1 to 1", 1),
        "<h2>What they complain of</h2>",
        table(
            "",
            ("brand", "aspect", "reviews that complain"),
            [
                (row["brand"], row["aspect"], f"{row['num_reviews']:,}")
                for row in found.complaints.head(2 * _SHOWN).iter_rows(named=True)
            ],
        ),
        "</main>",
    ]
    return page("Brands", "".join(parts))


def _by_period(found: SatisfactionReport) -> str:
    frame = found.by["period"].drop_nulls("satisfaction")
    if len(frame) < 2:
        return "<p>There is only one period.</p>"
    return picture(
        draw_lines([_line("all buyers", frame)], label="satisfaction, 0 to 100"),
        f"Satisfaction of all buyers by {found.period}: from "
        f"{frame['satisfaction'][0]:.1f} to {frame['satisfaction'][-1]:.1f}.",
        f"By {found.period}, with 95% intervals. The last {found.period} may not be over.",
    )


def _by_key(frame: pl.DataFrame, key: str) -> str:
    known = frame.drop_nulls("satisfaction").filter(~pl.col("is_small"))
    num_small = len(frame) - len(known)
    if known.is_empty():
        return f"<p>All {num_small} groups are too small to be told apart.</p>"
    ordered = known.sort("satisfaction", key)
    ends = pl.concat([ordered.head(_SHOWN), ordered.tail(_SHOWN)]).unique(key, maintain_order=True)
    columns = ("satisfaction", "satisfaction_low", "satisfaction_high")
    note = f"<p class=dim>{num_small} groups of fewer opinions are left out.</p>"
    if len(ordered) > len(ends):
        ends_only = f"The {_SHOWN} least and most satisfied."
        note = f"<p class=dim>{ends_only} {num_small} small groups are left out.</p>"
    shown = table(
        "",
        (key, "opinions", "purchases", "returned", "satisfaction", "95%"),
        [
            (
                row[key],
                f"{row['num_opinions']:,}",
                f"{row['num_purchases']:,}",
                "-" if row["return_rate"] is None else f"{row['return_rate']:.1%}",
                f"{row['satisfaction']:.1f}",
                f"{row['satisfaction_low']:.1f} to {row['satisfaction_high']:.1f}",
            )
            for row in ends.iter_rows(named=True)
        ],
    )
    return _dots(ends, key, columns, 1, "satisfaction, 0 to 100") + note + shown


def _dots(
    frame: pl.DataFrame, key: str, columns: tuple[str, str, str], factor: float, label: str
) -> str:
    value, low, high = ((frame[name] * factor).to_list() for name in columns)
    names = frame[key].to_list()
    mean = float((frame[columns[0]] * factor).mean() or 0.0)  # type: ignore[arg-type]
    worst = names[value.index(min(value))]
    best = names[value.index(max(value))]
    figure = draw_intervals(names, value, low, high, label=label, at=mean)
    alt = (
        f"{label} by {key}, {len(names)} rows with intervals: from {min(value):.1f} ({worst}) to "
        f"{max(value):.1f} ({best})."
    )
    return picture(figure, alt, _INTERVAL)


def _brands_over_time(found: SatisfactionReport) -> str:
    by = found.by["brand"].drop_nulls("satisfaction")
    most = by.sort("num_opinions", "brand", descending=[True, False])["brand"].head(_LINES)
    lines = []
    for brand in most.to_list():
        own = found.brand_periods.filter(pl.col("brand") == brand).drop_nulls("satisfaction")
        lines.append(_line(brand, own))
    if not lines:
        return "<p>No item has a brand.</p>"
    return picture(
        draw_lines(lines, label="satisfaction, 0 to 100"),
        f"Satisfaction by {found.period} of the brands of most opinions: {', '.join(most)}.",
        "Bands are 95% intervals.",
    )


def _line(
    name: str, frame: pl.DataFrame
) -> tuple[str, list[datetime], list[float], list[float], list[float]]:
    ordered = frame.sort("period")
    columns = ("satisfaction", "satisfaction_low", "satisfaction_high")
    value, low, high = (ordered[column].to_list() for column in columns)
    return name, ordered["period"].to_list(), value, low, high


def _voice_lines(found: BrandReport, column: str, label: str, factor: float) -> str:
    most = found.voice["brand"].head(_LINES).to_list()
    lines = []
    for brand in most:
        own = found.voice_periods.filter(pl.col("brand") == brand).sort("period")
        ends = [None, None]
        if column == "share":
            ends = [(own[name] * factor).to_list() for name in ("low", "high")]
        lines.append((brand, own["period"].to_list(), (own[column] * factor).to_list(), *ends))
    return picture(
        draw_lines(lines, label=label),
        f"{label} by {found.period} of {', '.join(most)}.",
        f"The last {found.period} may not be over.",
    )


def _brand_row(row: dict[str, Any], satisfaction: pl.DataFrame) -> tuple[str, ...]:
    index = satisfaction.filter(pl.col("brand") == row["brand"])["satisfaction"]
    return (
        row["brand"],
        f"{row['num_reviews']:,}",
        f"{row['share']:.1%}",
        f"{row['negative']:.1%}",
        f"{row['polarity']:+.2f}",
        f"{index[0]:.1f}" if len(index) and index[0] is not None else "-",
    )
