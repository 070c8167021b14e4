"""The numbers of each user that a metric is made of, winsorised alike in both arms.

Shape suffixes: U users.
"""

from dataclasses import dataclass

import numpy as np

from recsys.abtest.estimates import Moments
from recsys.abtest.outcomes import Outcomes
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import EXPOSURE, MetricSection


@dataclass(frozen=True, kw_only=True)
class MetricValues:
    """A metric's columns over users.

    Attributes:
        metric: Which one.
        arm_U: 0 control, 1 treatment, shape (U,).
        top_U: The sum of each user, or the numerator of a ratio, in the metric's units.
        bottom_U: The denominator; None where the metric is no ratio.
        top_before_U: As `top_U`, in the pre-period.
        bottom_before_U: As `bottom_U`, in the pre-period; exposures have none, so that it is None.
        cap: What sums are cut to; None where they are not.
    """

    metric: MetricSection
    arm_U: np.ndarray
    top_U: np.ndarray
    bottom_U: np.ndarray | None
    top_before_U: np.ndarray
    bottom_before_U: np.ndarray | None
    cap: float | None

    def moments(self, rows_U: np.ndarray, *, with_past: bool) -> Moments:
        """Measure some users: numerator, denominator, and if asked for those before."""
        columns = [self.top_U, self.bottom_U]
        if with_past:
            columns += [self.top_before_U, self.bottom_before_U]
        return Moments.of([column[rows_U] for column in columns if column is not None])

    @property
    def has_past(self) -> bool:
        """Whether CUPED has a covariate for it."""
        return self.bottom_U is None or self.bottom_before_U is not None


def metric_values(metric: MetricSection, outcomes: Outcomes, plan: Plan) -> MetricValues:
    """Return the columns of a metric.

    A cap is the quantile of the sums of both arms that are not zero; the pre-period has its own.
    """
    users = outcomes.users
    top, before = (_column(outcomes, metric.numerator, when) for when in ("after", "before"))
    bottom = bottom_before = None
    if metric.denominator is not None and metric.denominator[0] == EXPOSURE:
        bottom = users["num_exposures"].to_numpy().astype(np.float64)
    elif metric.denominator is not None:
        bottom, bottom_before = (
            _column(outcomes, metric.denominator, when) for when in ("after", "before")
        )
    cap = None
    if metric.kind == "conversion":
        top, before = (top > 0).astype(np.float64), (before > 0).astype(np.float64)
    elif metric.kind in ("mean", "ratio"):
        quantile = metric.winsor_quantile or plan.winsor_quantile
        top, cap = _capped(top, quantile)
        before, _ = _capped(before, quantile)
    return MetricValues(
        metric=metric,
        arm_U=users["arm"].to_numpy(),
        top_U=top,
        bottom_U=bottom,
        top_before_U=before,
        bottom_before_U=bottom_before,
        cap=cap,
    )


def _column(outcomes: Outcomes, measure: tuple[str, str], when: str) -> np.ndarray:
    place = outcomes.place(measure)
    whole = outcomes.users[f"{when}_{place}"].to_numpy()
    return whole / outcomes.measures[place].unit


def _capped(sums_U: np.ndarray, quantile: float | None) -> tuple[np.ndarray, float | None]:
    if quantile is None or not (sums_U != 0).any():
        return sums_U, None
    cap = float(np.quantile(sums_U[sums_U != 0], quantile))
    return np.minimum(sums_U, cap), cap
