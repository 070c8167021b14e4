"""Intervals that hold at all times at once, however often the data are looked at."""

import math

from recsys.abtest.effects import Better, Contrast, Reading, Sides, read_by_width


def tuning_rho(alpha: float, num_users: float) -> float:
    """Return the rho that makes the sequence tightest at a number of users.

    rho = sqrt((-2 ln alpha + ln(-2 ln alpha + 1)) / n). Source: Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence
    sequences", appendix B.2.
    """
    surprise = -2 * math.log(alpha)
    return math.sqrt((surprise + math.log(surprise + 1)) / num_users)


def half_width(standard_error: float, num_users: int, *, alpha: float, tuning: float) -> float:
    """Return the half width of the asymptotic confidence sequence at some number of users.

    se sqrt(N) sqrt((2 (N rho^2 + 1) / (N^2 rho^2)) ln(sqrt(N rho^2 + 1) / alpha)): two-sided.
    Source: as `tuning_rho`, theorem 2.2.

    Args:
        standard_error: Of the effect, at this number of users.
        num_users: N, in both arms.
        alpha: Chance that the sequence ever misses, in the limit.
        tuning: Users at which it is to be tightest.
    """
    grown = num_users * tuning_rho(alpha, tuning) ** 2
    scale = 2 * (grown + 1) / grown * (math.log(grown + 1) / 2 - math.log(alpha))
    return standard_error * math.sqrt(scale)


def p_value(contrast: Contrast, *, alpha: float, tuning: float) -> float:
    """Return the always-valid p-value: the least level at which the sequence excludes zero.

    The mixture is kept at the rho of `alpha`, so that one p-value fits all levels.
    """
    if contrast.standard_error == 0:
        return float(contrast.value == 0)
    grown = contrast.num_users * tuning_rho(alpha, tuning) ** 2
    z = contrast.value / contrast.standard_error
    return min(1.0, math.exp(math.log(grown + 1) / 2 - z * z * grown / (2 * (grown + 1))))


def read_always_valid(
    contrast: Contrast, *, alpha: float, tuning: float, sides: Sides, better: Better
) -> Reading:
    """Conclude at any time.

    A one-sided question is answered by the good end of the two-sided sequence, which is careful:
    its size is at most about half of alpha. Its p-value is 1 where the treatment is not better.
    """
    width = half_width(contrast.standard_error, contrast.num_users, alpha=alpha, tuning=tuning)
    p = p_value(contrast, alpha=alpha, tuning=tuning)
    is_worse = contrast.value <= 0 if better == "higher" else contrast.value >= 0
    if sides == "one" and is_worse:
        p = 1.0
    return read_by_width(contrast, width, p, sides=sides, better=better)
