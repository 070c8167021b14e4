"""Drawings of reports on satisfaction, brands and trends: dots with intervals, lines, forecasts."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.forecasting import Path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart by brightness and by mark too, not by colour alone.
_COLOURS = ("#0060a0", "#b34700", "#595959", "#1b7f5c", "#7a3b8f")
_MARKS = ("o", "s", "^", "D", "v")
_INK = "#1b1f24"
_WIDTH = 6.4


def draw_intervals(
    names: Sequence[str],
    value: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    label: str,
    at: float | None = None,
) -> "Figure":
    """Draw one row a name: a dot with its interval, and a dotted line at a reference.

    A name that cannot be drawn is shown by its row, counted from 1: a table beside it has the name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 0.7 + 0.28 * max(1, len(names))), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(names))[::-1]
    axes.hlines(place, low, high, color=_COLOURS[0], linewidth=2)
    axes.plot(value, place, "o", color=_COLOURS[0], markersize=5)
    if at is not None:
        axes.axvline(at, color=_INK, linewidth=1, linestyle=":")
    # Names are what people wrote: a dollar is a dollar, no formula.
    labels = [_short(name, row) for row, name in enumerate(names, 1)]
    axes.set_yticks(place, labels, parse_math=False)
    axes.set(xlabel=label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_lines(
    lines: Sequence[tuple[str, Sequence[datetime], Sequence[float], Any, Any]], *, label: str
) -> "Figure":
    """Draw up to five lines over time: name, times, values, and ends of intervals or None."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    for place, (name, time, value, low, high) in enumerate(lines[: len(_COLOURS)]):
        colour, mark = _COLOURS[place], _MARKS[place]
        axes.plot(
            np.array(time),
            value,
            f"{mark}-",
            color=colour,
            markersize=4,
            linewidth=1.3,
            label=_short(name, place + 1),
        )
        if low is not None:
            axes.fill_between(np.array(time), low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(ylabel=label)
    if len(lines) > 1:
        for told in axes.legend(frameon=False, fontsize="small").get_texts():
            told.set_parse_math(False)
    axes.tick_params(axis="x", labelrotation=30)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_forecast(
    past_time: np.ndarray, past: np.ndarray, time: np.ndarray, path: Path, *, label: str
) -> "Figure":
    """Draw the end of a series and its forecast with the prediction interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(past_time, past, "-", color=_COLOURS[2], linewidth=1, label="past")
    axes.plot(time, path.mean, "--", color=_COLOURS[0], linewidth=1.6, label="forecast")
    axes.fill_between(time, path.low, path.high, color=_COLOURS[0], alpha=0.2, linewidth=0)
    axes.set(ylabel=label)
    axes.legend(frameon=False, fontsize="small")
    axes.tick_params(axis="x", labelrotation=30)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def is_drawable(name: str) -> bool:
    """Tell whether the font of drawings has all letters of a name: it has no Chinese ones."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return all(font.get_char_index(ord(letter)) for letter in name)


def _short(name: str, row: int) -> str:
    if not is_drawable(name):
        return f"row {row}"
    # Legends leave out what begins with an underscore.
    shown = f" {name}" if name.startswith("_") else name
    return shown if len(shown) <= 28 else f"{shown[:27]}…"
