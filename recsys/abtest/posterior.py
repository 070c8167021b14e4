"""What to believe of an effect once it has been estimated: a normal posterior."""

import math
from dataclasses import dataclass

from scipy.stats import norm

from recsys.abtest.effects import Better, Contrast


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Beliefs about an effect.

    Attributes:
        mean: Of the posterior, on the effect's scale.
        standard_deviation: Of it.
        low: Lower end of the central credible interval.
        high: Upper end.
        chance_to_beat_control: That the treatment is better, in [0, 1].
        expected_loss: What shipping the treatment costs in the mean if it is worse: the mean of
            the harm, counting benefits as zero; at least 0.
    """

    mean: float
    standard_deviation: float
    low: float
    high: float
    chance_to_beat_control: float
    expected_loss: float


def posterior(
    contrast: Contrast,
    *,
    alpha: float,
    better: Better,
    prior_mean: float = 0.0,
    prior_standard_deviation: float = math.inf,
) -> Posterior:
    """Update a normal prior by an estimate with a normal error.

    Source: Stucchi 2015, "Bayesian A/B testing at VWO", section 4, for chance and expected loss.

    Args:
        contrast: Its standard error is above 0.
        alpha: 1 less the credible interval's mass.
        better: Which way is good.
        prior_mean: Of the prior.
        prior_standard_deviation: Infinite for a flat prior.

    Raises:
        ValueError: The standard error is zero.
    """
    if not contrast.standard_error > 0:
        raise ValueError("an effect without a standard error has no posterior")
    told = contrast.standard_error**-2
    believed = prior_standard_deviation**-2
    deviation = (told + believed) ** -0.5
    mean = (told * contrast.value + believed * prior_mean) * deviation**2
    gain = mean if better == "higher" else -mean
    z = gain / deviation
    spread = float(norm.ppf(1 - alpha / 2)) * deviation
    return Posterior(
        mean=mean,
        standard_deviation=deviation,
        low=mean - spread,
        high=mean + spread,
        chance_to_beat_control=float(norm.cdf(z)),
        expected_loss=max(0.0, float(deviation * norm.pdf(z) - gain * norm.sf(z))),
    )
