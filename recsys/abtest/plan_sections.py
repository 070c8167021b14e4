"""The parts of a plan: variants, metrics, stop rule, segments, minimum effect, bots."""

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.abtest.group_sequential import LEAST_STEP

EventName = Annotated[str, Field(min_length=1, max_length=64)]
Kind = Literal["mean", "conversion", "ratio", "quantile", "satisfaction"]
Scale = Literal["relative", "absolute"]
Value = Literal["count", "cents", "quantity", "polarity", "value"]
REVIEW = "review"
JUDGED = "judged"
"""Value of a review whose polarity is known: one."""
EXPOSURE = "exposure"
"""Denominator of a ratio: how often the user was exposed."""


class PlanSection(BaseModel):
    """Base of every part: frozen, and closed to keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VariantSection(PlanSection):
    """`[control]` and `[treatment]`."""

    name: str = Field(min_length=1, max_length=256)
    """As the log of exposures has it."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """Of users; the shares of both variants sum to one."""


class MinimumEffectSection(PlanSection):
    """`[minimum_effect]`: the least effect on the primary metric that is worth finding."""

    relative: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Share of the control's mean."""
    absolute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """In units of the metric."""

    @model_validator(mode="after")
    def _one_of_them(self) -> "MinimumEffectSection":
        if (self.relative is None) == (self.absolute is None):
            raise ValueError("give exactly one of relative and absolute")
        return self


class MetricSection(PlanSection):
    """`[[metrics]]`: one number a user, or a ratio of two, that variants are compared by.

    `mean`: sum of `value` over a user's events. `conversion`: whether there is such an event.
    `ratio`: sum over all users by the sum of the denominator, the user as cluster. `quantile`: of
    the sums of users, or of single events. `satisfaction`: mean polarity of reviews, a ratio.
    """

    name: str = Field(min_length=1, max_length=64)
    kind: Kind
    role: Literal["primary", "secondary", "guardrail"] = "secondary"
    event: EventName | None = None
    """Kind of event, such as `purchase`; `satisfaction` reads reviews and needs none."""
    value: Value = "count"
    """What an event weighs. `cents` is price times quantity."""
    denominator_event: EventName | None = None
    """For a ratio; `exposure` counts the user's exposures."""
    denominator_value: Value = "count"
    quantile: float | None = Field(default=None, gt=0, lt=1)
    """Which quantile, for that kind."""
    of: Literal["users", "events"] = "users"
    """Whose values a quantile is of."""
    better: Literal["higher", "lower"] = "higher"
    scale: Scale | None = None
    """What is tested: the relative lift, or the absolute difference. Default: relative, and
    absolute for satisfaction, whose mean may be near zero."""
    margin: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of a guardrail, on its scale: how much worse is still not inferior."""
    winsor_quantile: float | None = Field(default=None, gt=0.5, lt=1)
    """Overrides the plan's for this metric."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "MetricSection":
        wrong = _misfits(self)
        if wrong:
            raise ValueError(f"metric {self.name!r}: {wrong}")
        return self

    @property
    def numerator(self) -> tuple[str, str]:
        """Event and value that are summed up."""
        if self.kind == "satisfaction":
            return REVIEW, "polarity"
        assert self.event is not None
        return self.event, self.value

    @property
    def denominator(self) -> tuple[str, str] | None:
        """Event and value of the denominator; None where the metric is no ratio."""
        if self.kind == "satisfaction":
            return REVIEW, JUDGED
        if self.kind != "ratio":
            return None
        assert self.denominator_event is not None
        return self.denominator_event, self.denominator_value

    @property
    def tested_scale(self) -> Scale:
        """What the verdict reads: relative lift or absolute difference."""
        return self.scale or ("absolute" if self.kind == "satisfaction" else "relative")


class SequentialSection(PlanSection):
    """`[sequential]`: whether and how the data may be looked at before the end."""

    method: Literal["none", "obrien-fleming", "pocock", "always-valid"] = "none"
    looks: list[Annotated[float, Field(gt=0, le=1)]] = []
    """Shares of the time from start to end at which group-sequential looks are planned."""
    tuning: float = Field(default=5000, gt=0, allow_inf_nan=False)
    """Users at which always-valid intervals are to be tightest."""

    @model_validator(mode="after")
    def _looks_fit(self) -> "SequentialSection":
        grouped = self.method in ("obrien-fleming", "pocock")
        if grouped and (not self.looks or self.looks[-1] != 1):
            raise ValueError(
                f"sequential.looks must end at 1 for {self.method}, such as [0.25, 0.5, 0.75, 1], "
                f"not {self.looks}"
            )
        if not grouped and self.looks:
            raise ValueError(f"looks are for group-sequential methods, not {self.method}")
        if any(second < first + LEAST_STEP for first, second in pairwise(self.looks)):
            raise ValueError(
                f"sequential.looks must increase by at least {LEAST_STEP:g}, not {self.looks}"
            )
        return self


class SegmentSection(PlanSection):
    """`[[segments]]`: groups of users, told before their first exposure, that are read apart."""

    name: str = Field(min_length=1, max_length=64)
    by: Literal["new-users", "unhappy-users", "column"]
    """`new-users`: no event in the pre-period; `unhappy-users`: the mean polarity of their reviews
    before is below `polarity_below`; `column`: a column of the log, at the first exposure."""
    column: str | None = None
    polarity_below: float = Field(default=0.0, ge=-1, le=1)

    @model_validator(mode="after")
    def _column_named(self) -> "SegmentSection":
        if (self.by == "column") != (self.column is not None):
            raise ValueError(f"segment {self.name!r}: `column` goes with by = 'column'")
        return self


class BotSection(PlanSection):
    """`[bots]`: who is no person; counted, and left out of both arms alike."""

    max_exposures_per_day: float = Field(default=500, gt=0)
    """Mean over the days from the user's first exposure to the last."""


class GateSection(PlanSection):
    """`[gates]`: what makes data unfit to decide on."""

    srm_alpha: float = Field(default=0.001, gt=0, lt=0.5)
    """Below such a p-value the arms' sizes are not those that were planned."""
    balance_alpha: float = Field(default=0.001, gt=0, lt=0.5)
    """The same for what users did before, over all metrics together."""
    max_crossover_share: float = Field(default=0.01, ge=0, lt=1)
    """Greatest share of users seen in both variants."""
    max_unexposed_share: float = Field(default=0.01, ge=0, lt=1)
    """Greatest share of users with outcomes marked by the experiment but no exposure."""


def _misfits(metric: MetricSection) -> str | None:
    """Say what of a metric does not go with its kind."""
    if metric.kind == "satisfaction":
        if metric.event is not None or metric.value != "count":
            return "satisfaction is the polarity of reviews and takes no event and no value"
    elif metric.event is None:
        return f"kind {metric.kind!r} needs an event, such as 'purchase'"
    if (metric.kind == "ratio") != (metric.denominator_event is not None):
        return "denominator_event goes with kind 'ratio', and a ratio needs it"
    if metric.denominator_event == EXPOSURE and metric.denominator_value != "count":
        return "denominator_event 'exposure' can only be counted"
    if (metric.kind == "quantile") != (metric.quantile is not None):
        return "quantile goes with kind 'quantile', which needs it, such as quantile = 0.9"
    if metric.of == "events" and metric.kind != "quantile":
        return "of = 'events' goes with kind 'quantile'"
    if metric.kind == "conversion" and metric.value != "count":
        return "a conversion has no value"
    if (metric.role == "guardrail") != (metric.margin is not None):
        return "margin goes with role 'guardrail', which needs one, such as margin = 0.02"
    if metric.margin is not None and not math.isfinite(metric.margin):
        return "margin must be finite"
    return None
