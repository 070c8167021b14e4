"""Drawings of an experiment: intervals of metrics, effect over time, forest of segments."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from recsys.abtest.analysis import Analysis
from recsys.abtest.effects import Reading
from recsys.abtest.metric_results import MetricResult
from recsys.abtest.segments import GroupEffect, SegmentEffects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart without red and green (after Okabe & Ito), and dark enough on white.
_GOOD, _BAD, _OPEN, _INK, _PALE = "#0060a0", "#b34700", "#595959", "#1b1f24", "#8c959f"
_ROW_INCHES = 0.42


class _Row(NamedTuple):
    """A line of a forest."""

    label: str
    reading: Reading | None
    better: str
    margin: float | None = None
    is_confirmed: bool = True


def draw_metrics(metrics: Sequence[MetricResult]) -> "Figure":
    """Draw the intervals of metrics that are tested on the same scale, in the same units.

    Args:
        metrics: At least one; each with a tested effect.
    """
    rows = [
        _Row(
            m.metric.name + ("" if m.metric.better == "higher" else " (lower is better)"),
            m.tested,
            m.metric.better,
            m.metric.margin,
            m.metric.role != "secondary" or bool(m.is_significant),
        )
        for m in metrics
    ]
    is_share = metrics[0].metric.tested_scale == "relative"
    label = "relative lift" if is_share else f"difference of {metrics[0].metric.name}"
    return _forest(rows, is_share=is_share, xlabel=label)


def draw_segments(segments: Sequence[SegmentEffects], result: MetricResult) -> "Figure | None":
    """Draw the primary metric in each group, below that of all users."""
    rows = [_Row("all users", result.tested, result.metric.better)]
    for segment in segments:
        mark = "" if segment.is_declared else " *"
        rows += [
            _Row(f"{segment.segment}: {group.group}{mark}", group.reading, result.metric.better)
            for group in segment.groups
            if group.reading is not None
        ]
    if len(rows) == 1 or result.tested is None:
        return None
    is_share = result.metric.tested_scale == "relative"
    return _forest(rows, is_share=is_share, xlabel=f"effect on {result.metric.name}")


def draw_days(days: Sequence[GroupEffect], result: MetricResult) -> "Figure | None":
    """Draw the primary metric's effect by day since the first exposure."""
    told = [(int(day.group) + 1, day.reading) for day in days if day.reading is not None]
    if not told:
        return None
    figure, axes = _canvas(3.2)
    places = [place for place, _ in told]
    values = [reading.value for _, reading in told]
    below = [reading.value - reading.low for _, reading in told]
    above = [reading.high - reading.value for _, reading in told]
    axes.axhline(0, color=_INK, linewidth=1, linestyle=":")
    axes.errorbar(
        places, values, yerr=[below, above], fmt="o-", color=_GOOD, capsize=3, linewidth=1.4
    )
    axes.set(xlabel="day since the first exposure", ylabel=f"effect on {result.metric.name}")
    axes.set_xticks(places)
    if result.metric.tested_scale == "relative":
        _in_percent(axes, "y")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_exposures(found: Analysis) -> "Figure":
    """Draw how many users entered each arm on each day."""
    figure, axes = _canvas(2.8)
    arms = ((0, found.plan.control.name, _OPEN, "o--"), (1, found.plan.treatment.name, _GOOD, "s-"))
    for arm, name, colour, style in arms:
        rows = [row for row in found.exposure_days.iter_rows(named=True) if row["arm"] == arm]
        axes.plot(
            [row["day"] + 1 for row in rows],
            [row["num_users"] for row in rows],
            style,
            color=colour,
            label=name,
            markersize=4,
            linewidth=1.4,
        )
    axes.set(xlabel="day of the experiment", ylabel="users that entered", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _forest(rows: Sequence[_Row], *, is_share: bool, xlabel: str) -> "Figure":
    figure, axes = _canvas(1.1 + _ROW_INCHES * len(rows))
    axes.axvline(0, color=_INK, linewidth=1, linestyle=":")
    ends = [end for row in rows for end in _finite(row.reading)]
    least, most = min([*ends, 0.0]), max([*ends, 0.0])
    reach = 0.08 * (most - least) or 1.0
    for place, row in enumerate(rows):
        if row.reading is None:
            continue
        colour, marker = _look(row)
        # An open end goes beyond the edge.
        low = max(row.reading.low, least - 3 * reach)
        high = min(row.reading.high, most + 3 * reach)
        axes.plot([low, high], [place, place], color=colour, linewidth=2.2)
        axes.plot([row.reading.value], [place], marker, color=colour, markersize=7)
        if row.margin is not None:
            limit = -row.margin if row.better == "higher" else row.margin
            ends.append(limit)
            axes.plot([limit, limit], [place - 0.32, place + 0.32], color=_BAD, linewidth=2)
    least, most = min([*ends, 0.0]), max([*ends, 0.0])
    axes.set_xlim(least - reach, most + reach)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set(xlabel=xlabel)
    if is_share:
        _in_percent(axes, "x")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _finite(reading: Reading | None) -> list[float]:
    if reading is None:
        return []
    return [v for v in (reading.low, reading.value, reading.high) if math.isfinite(v)]


def _look(row: _Row) -> tuple[str, str]:
    """Return colour and marker: better, worse, or open, as of what is not confirmed."""
    assert row.reading is not None
    if not row.is_confirmed:
        return _OPEN, "o"
    low, high = row.reading.low, row.reading.high
    if row.better == "lower":
        low, high = -high, -low
    if low > 0:
        return _GOOD, "s"
    return (_BAD, "D") if high < 0 else (_OPEN, "o")


def _in_percent(axes: "Axes", which: str) -> None:
    from matplotlib.ticker import PercentFormatter

    (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(PercentFormatter(1.0))


def _canvas(height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, height), layout="constrained")
    return figure, figure.subplots()
