"""Drawings of a campaign: sales of treated units and others, and the gap between them."""

from typing import TYPE_CHECKING

import numpy as np

from recsys.abtest.campaign import CampaignAnalysis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TREATED, _OTHERS, _INK = "#0060a0", "#595959", "#1b1f24"


def draw_sales(found: CampaignAnalysis) -> "Figure":
    """Draw mean sales of treated units and of what they are compared with, by period."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    axes = figure.subplots()
    treated, others = found.means_2P
    label = f"mean of {found.num_controls:,} controls"
    if found.synthetic is not None:
        others, label = treated - found.synthetic.gap_P, "synthetic control"
    period = np.arange(len(treated)) - found.plan.num_periods_before
    axes.plot(period, treated, "s-", color=_TREATED, markersize=3, linewidth=1.4, label="treated")
    axes.plot(period, others, "o--", color=_OTHERS, markersize=3, linewidth=1.4, label=label)
    axes.axvline(-0.5, color=_INK, linewidth=1, linestyle=":")
    unit = "day" if found.plan.period_days == 1 else f"period of {found.plan.period_days:g} days"
    axes.set(xlabel=f"{unit}, 0 is the first of the campaign", ylabel="mean sales of a unit")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
