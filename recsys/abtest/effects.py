"""How much better the treatment is than the control: difference and lift, and how sure."""

import math
from dataclasses import dataclass
from typing import Literal

from scipy.stats import t as student

from recsys.abtest.estimates import ArmEstimate

Sides = Literal["two", "one"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An estimated effect before anything is concluded from it.

    Attributes:
        value: Treatment less control, or that by the control's mean.
        standard_error: Of it, at least 0.
        degrees_of_freedom: Of Student's t, infinity for a normal law.
        num_users: In both arms.
    """

    value: float
    standard_error: float
    degrees_of_freedom: float
    num_users: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A contrast with what may be concluded from it.

    Attributes:
        value: The effect.
        standard_error: Of it.
        low: Lower end of the interval, minus infinity where only the upper end is asked for.
        high: Upper end.
        p_value: Of no effect.
    """

    value: float
    standard_error: float
    low: float
    high: float
    p_value: float


def difference(control: ArmEstimate, treatment: ArmEstimate) -> Contrast:
    """Contrast the means: Welch's unequal-variance difference.

    Source: Welch 1947, "The generalization of 'Student's' problem when several different population
    variances are involved"; degrees of freedom after Satterthwaite 1946.
    """
    return Contrast(
        value=treatment.mean - control.mean,
        standard_error=math.sqrt(control.variance + treatment.variance),
        degrees_of_freedom=_welch_satterthwaite(control, treatment),
        num_users=control.num_users + treatment.num_users,
    )


def lift(control: ArmEstimate, treatment: ArmEstimate) -> Contrast | None:
    """Contrast the means by the control's mean: (m_T - m_C) / m_C, its error by the delta method.

    Var = v_T / m_C^2 + v_C m_T^2 / m_C^4, with the variances of the means. Source: Deng, Knoblich
    and Lu 2018, "Applying the delta method in metric analytics", section 2; degrees of freedom
    are those of the difference, as GrowthBook has them.

    Returns:
        The contrast; None where the control's mean is not above zero, where a lift means nothing.
    """
    if not control.mean > 0:
        return None
    variance = treatment.variance / control.mean**2
    variance += control.variance * treatment.mean**2 / control.mean**4
    return Contrast(
        value=treatment.mean / control.mean - 1,
        standard_error=math.sqrt(variance),
        degrees_of_freedom=_welch_satterthwaite(control, treatment),
        num_users=control.num_users + treatment.num_users,
    )


def read_fixed(contrast: Contrast, *, alpha: float, sides: Sides, better: Better) -> Reading:
    """Conclude from data that are looked at once, when all are there.

    Args:
        contrast: The effect.
        alpha: Size of the test of no effect; the interval covers with 1 - alpha.
        sides: `two`, or `one` for whether the treatment is better.
        better: Which way that is.
    """
    spread = float(student.ppf(1 - alpha / (2 if sides == "two" else 1), _df(contrast)))
    p_value = tail(contrast, sides=sides, better=better)
    return read_by_width(
        contrast, spread * contrast.standard_error, p_value, sides=sides, better=better
    )


def read_by_width(
    contrast: Contrast, half_width: float, p_value: float, *, sides: Sides, better: Better
) -> Reading:
    """Put an interval of a half width about an effect, open on the good side where one-sided."""
    low, high = contrast.value - half_width, contrast.value + half_width
    if sides == "one" and better == "higher":
        high = math.inf
    if sides == "one" and better == "lower":
        low = -math.inf
    return Reading(
        value=contrast.value,
        standard_error=contrast.standard_error,
        low=low,
        high=high,
        p_value=p_value,
    )


def tail(contrast: Contrast, *, sides: Sides, better: Better, null: float = 0.0) -> float:
    """Return the p-value of an effect of `null`, in the fixed-sample test.

    Where the standard error is zero, it is 1 for an effect of exactly `null` (or a worse one, if
    one-sided) and 0 for others.
    """
    distance = contrast.value - null
    if better == "lower":
        distance = -distance
    if contrast.standard_error == 0:
        return float(distance == 0 if sides == "two" else distance <= 0)
    statistic = distance / contrast.standard_error
    if sides == "one":
        return float(student.sf(statistic, _df(contrast)))
    return float(2 * student.sf(abs(statistic), _df(contrast)))


def is_inferior(reading: Reading, *, margin: float, better: Better) -> bool | None:
    """Tell whether an interval says that the treatment is worse by more than a margin.

    Args:
        reading: Of an interval.
        margin: Above 0, on the scale of the effect.
        better: Which way is good.

    Returns:
        False where the whole interval is better than the margin (not inferior), True where all of
        it is worse, None where it cannot be told.
    """
    low, high = reading.low, reading.high
    if better == "lower":
        low, high = -high, -low
    if low > -margin:
        return False
    return True if high < -margin else None


def _df(contrast: Contrast) -> float:
    # scipy's t of infinitely many degrees is the normal law.
    return max(1.0, contrast.degrees_of_freedom)


def _welch_satterthwaite(control: ArmEstimate, treatment: ArmEstimate) -> float:
    total = control.variance + treatment.variance
    parts = sum(
        arm.variance**2 / (arm.num_users - 1) for arm in (control, treatment) if arm.num_users > 1
    )
    return total**2 / parts if parts > 0 else math.inf
