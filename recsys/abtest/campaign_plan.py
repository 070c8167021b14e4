"""The plan of a campaign: what was promoted when, and against what it is compared."""

import math
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field, model_validator

from recsys.abtest.plan import Moment, parse_toml
from recsys.abtest.plan_sections import EventName, PlanSection, Value


class CampaignPlan(PlanSection):
    """`campaign.toml`: what was promoted when, and against what it is compared."""

    name: str = Field(min_length=1, max_length=256)
    start: Moment
    end: Moment
    unit: str = Field(default="item_id", min_length=1)
    """Column of the outcomes that names units: `item_id`, `user_id`, or another."""
    treated: list[str] = Field(default=[])
    """Units that were promoted, or exposed; a file of the command line may name them instead."""
    controls: list[str] | None = None
    """Units that were not; absent, all others that sold anything in any of the periods (for a
    synthetic control in those before). Were they chosen by what they sold before, they would sell
    less after by chance alone."""
    method: Literal["difference-in-differences", "synthetic-control"] = "difference-in-differences"
    event: EventName = "purchase"
    value: Value = "cents"
    period_days: float = Field(default=1, gt=0, allow_inf_nan=False)
    num_periods_before: int = Field(default=28, ge=4, le=1000)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    pretrend_alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Below such a p-value the units moved apart before the campaign."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "CampaignPlan":
        if self.start >= self.end:
            raise ValueError(
                f"end {self.end.isoformat()} must be after start {self.start.isoformat()}"
            )
        both = sorted(set(self.treated) & set(self.controls or []))
        if both:
            raise ValueError(f"{both[0]!r} is among both treated and controls")
        return self

    @property
    def num_periods_after(self) -> int:
        """Periods from start to end, the last one whole."""
        days = (self.end - self.start).total_seconds() / 86_400
        return math.ceil(days / self.period_days - 1e-9)

    @property
    def first(self) -> datetime:
        """Begin of the periods before."""
        return self.start - timedelta(days=self.period_days * self.num_periods_before)


def parse_campaign(text: str, *, source: str = "campaign.toml") -> CampaignPlan:
    """Read the plan of a campaign; see `recsys.abtest.plan.parse_plan` for what it says.

    Raises:
        PlanError: It is no TOML, or a key is unknown, missing or wrong.
    """
    return parse_toml(text, CampaignPlan, source=source)
