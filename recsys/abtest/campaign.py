"""The effect of a campaign that nobody drew lots for: more sales, and how people felt.

Shape suffixes: U units, P periods.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from recsys.abtest.campaign_panel import Panel, in_periods, sales_panel
from recsys.abtest.campaign_plan import CampaignPlan
from recsys.abtest.difference_in_differences import (
    DifferenceInDifferences,
    difference_in_differences,
    mean_difference_in_differences,
)
from recsys.abtest.synthetic_control import SyntheticControl, synthetic_control

_LEAST_REVIEWS = 10


@dataclass(frozen=True, kw_only=True)
class CampaignAnalysis:
    """Everything a report of a campaign says.

    Attributes:
        plan: That was followed, with the treated units that a file named.
        num_treated: Units.
        num_controls: Units.
        sales: By difference-in-differences; None with the other method.
        synthetic: By synthetic control; None with the other method.
        sentiment: Change of the mean polarity of reviews; None where too few were read.
        satisfaction: Change of the share of reviews with a polarity above zero.
        means_2P: Mean sales of a unit, of treated units and of controls, shape (2, P).
        decision: `ship` says that the campaign sold more and left people no less content.
        reasons: In words.
    """

    plan: CampaignPlan
    num_treated: int
    num_controls: int
    sales: DifferenceInDifferences | None
    synthetic: SyntheticControl | None
    sentiment: DifferenceInDifferences | None
    satisfaction: DifferenceInDifferences | None
    means_2P: np.ndarray
    decision: Literal["ship", "do not ship", "not decidable"]
    reasons: tuple[str, ...]


def analyse_campaign(plan: CampaignPlan, outcomes_log: pl.LazyFrame) -> CampaignAnalysis:
    """Analyse a campaign.

    Args:
        plan: With treated units.
        outcomes_log: `user_id, event_type, event_time`, the column of units, and what the value
            asks for; reviews with `polarity` tell the change of sentiment.

    Raises:
        ExperimentLogError: A column or all units of a side are missing.
    """
    panel = sales_panel(plan, outcomes_log)
    sales = synthetic = None
    if plan.method == "difference-in-differences":
        sales = difference_in_differences(
            panel.sales_UP, panel.is_treated_U, num_before=panel.num_before, alpha=plan.alpha
        )
    else:
        synthetic = synthetic_control(
            panel.sales_UP[panel.is_treated_U].mean(0),
            panel.sales_UP[~panel.is_treated_U],
            num_before=panel.num_before,
        )
    sentiment, satisfaction = _opinions(plan, panel, outcomes_log)
    decision, reasons = _decide(plan, sales, synthetic, (sentiment, satisfaction))
    if panel.unseen:
        told = f"{len(panel.unseen)} of {int(panel.is_treated_U.sum())} treated units, such as "
        told += f"{panel.unseen[0]!r}, are nowhere in the log and count as having sold nothing"
        reasons = (*reasons, told)
    means = [panel.sales_UP[rows].mean(0) for rows in (panel.is_treated_U, ~panel.is_treated_U)]
    return CampaignAnalysis(
        plan=plan,
        num_treated=int(panel.is_treated_U.sum()),
        num_controls=int((~panel.is_treated_U).sum()),
        sales=sales,
        synthetic=synthetic,
        sentiment=sentiment,
        satisfaction=satisfaction,
        means_2P=np.array(means),
        decision=decision,
        reasons=reasons,
    )


def _opinions(
    plan: CampaignPlan, panel: Panel, outcomes_log: pl.LazyFrame
) -> tuple[DifferenceInDifferences | None, DifferenceInDifferences | None]:
    if "polarity" not in outcomes_log.collect_schema().names():
        return None, None
    is_treated = dict(zip(panel.units, panel.is_treated_U.tolist(), strict=True))
    reviews = (
        in_periods(plan, outcomes_log)
        .filter((pl.col("event_type") == "review") & pl.col("polarity").is_not_null())
        .select(pl.col(plan.unit).cast(pl.String).alias("unit"), "period", "polarity")
        .filter(pl.col("unit").is_in(panel.units))
        .collect(engine="streaming")
        .sort("unit", "period", "polarity")
    )
    treated = np.array([is_treated[unit] for unit in reviews["unit"]], dtype=bool)
    after = reviews["period"].to_numpy() >= plan.num_periods_before
    sides = [(treated == t) & (after == a) for t in (False, True) for a in (False, True)]
    units = reviews["unit"].to_numpy()
    if any(rows.sum() < _LEAST_REVIEWS or len(set(units[rows])) < 2 for rows in sides):
        return None, None
    polarity = reviews["polarity"].to_numpy().astype(np.float64)
    codes = np.unique(units, return_inverse=True)[1]
    sentiment, satisfaction = (
        mean_difference_in_differences(values, treated, after, codes, alpha=plan.alpha)
        for values in (polarity, (polarity > 0).astype(np.float64))
    )
    return sentiment, satisfaction


def _decide(
    plan: CampaignPlan,
    sales: DifferenceInDifferences | None,
    synthetic: SyntheticControl | None,
    opinions: tuple[DifferenceInDifferences | None, DifferenceInDifferences | None],
) -> tuple[Literal["ship", "do not ship", "not decidable"], tuple[str, ...]]:
    opened, bad, good = [], [], []
    if sales is not None:
        interval = f"{sales.low:+,.4g} to {sales.high:+,.4g}"
        words = f"sales of a unit in a period {sales.effect:+,.4g} ({interval})"
        if sales.pretrend_p is not None and sales.pretrend_p < plan.pretrend_alpha:
            trend = f"units moved apart before the start (p {sales.pretrend_p:.4f})"
            return "not decidable", (f"{trend}: the difference after it is no effect",)
        side = good if sales.low > 0 else bad if sales.high < 0 else opened
        side.append(words)
    if synthetic is not None:
        words = f"sales of a unit in a period {synthetic.effect:+,.4g}"
        words += f", placebo p {synthetic.p_value:.4f}"
        if synthetic.p_value > plan.alpha:
            opened.append(words)
            least = 1 / (1 + synthetic.num_placebos)
            if least > plan.alpha:
                opened.append(
                    f"{synthetic.num_placebos} placebos cannot give less than {least:.3f}"
                )
        else:
            (good if synthetic.effect > 0 else bad).append(words)
    for name, found in zip(("sentiment", "satisfaction"), opinions, strict=True):
        if found is not None:
            words = f"{name} {found.effect:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
            if found.high < 0:
                bad.append(f"{words}: lower")
            else:
                good.append(words)
    if bad:
        return "do not ship", tuple(bad)
    if opened:
        return "not decidable", tuple(opened)
    return "ship", tuple(good)
