"""Whether a log can answer at all: gates on how target and logging policy overlap.

An estimate from an effective sample of two looks as sure as any other. What is measured here is
not the reward but the weights, so a refusal does not depend on the answer.
Shape suffixes: N rows.
"""

import math
from dataclasses import dataclass

import numpy as np

TOP_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class Gates:
    """When an estimate is refused.

    Attributes:
        least_effective_rows: Kish's effective sample size. A standard error is itself known to
            about 1 / sqrt(2 n): at 100 to 7 percent, and no row then carries more than a tenth of
            the weight. Below it the intervals say more than the data.
        least_effective_groups: The same of what is drawn together. Errors over fewer than some
            twenty users are too small, and of one user there is none.
        mean_weight_tolerance: How far the mean weight may be from 1. It is the total chance that
            the target gives to what the log could have shown; if a fifth is missing, so is a fifth
            of the answer, or the logged propensities are wrong.
        mean_weight_errors: Standard errors from 1 that chance explains: beyond the tolerance, and
            beyond these, the mean weight is refused. Sums of skewed weights lie below 1 more often
            than the normal law says, so 4, not 2.
        most_unlogged: Chance, mean of rows, that the target shows an item which the log never shows
            anywhere. Of those nothing is known: an estimate would be off by up to this share of the
            reward's range.
        most_top_share: Share of the total weight on the top hundredth of the rows. Above a half,
            the estimate is about those few rows.
    """

    least_effective_rows: float = 100.0
    least_effective_groups: float = 20.0
    mean_weight_tolerance: float = 0.2
    mean_weight_errors: float = 4.0
    most_unlogged: float = 0.05
    most_top_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.least_effective_rows < 2:
            raise ValueError(
                f"least_effective_rows is {self.least_effective_rows}, wanted at least 2"
            )
        for name in ("mean_weight_tolerance", "most_unlogged", "most_top_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}, wanted 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How weights are spread.

    Attributes:
        num_rows: N.
        effective_sample_size: (sum w)^2 / sum w^2, Kish 1965; 0 where all weights are 0.
        largest_weight: Of a row.
        mean_weight: Near 1 where the log supports the target.
        mean_weight_error: Standard error of that mean, 0 of a single row.
        unlogged_share: Chance, mean of rows, of items that the log never shows.
        largest_share: Of the largest weight in their sum.
        top_share: Of the hundredth of rows with the largest weights, at least one, in their sum.
        num_effective_groups: Kish's effective size of the weights summed by what is drawn together
            (users, else lists).
        num_effective_rewards: (sum w |r|)^2 / sum (w r)^2: how many rewarded rows carry the
            estimate.
    """

    num_rows: int
    effective_sample_size: float
    largest_weight: float
    mean_weight: float
    mean_weight_error: float
    unlogged_share: float
    largest_share: float
    top_share: float
    num_effective_groups: float
    num_effective_rewards: float


def measure_overlap(
    weight: np.ndarray, unlogged: np.ndarray, reward: np.ndarray, group: np.ndarray
) -> Overlap:
    """Measure how weights are spread.

    Args:
        weight: Target over propensity, at least 0, shape (N,).
        unlogged: Chance that the target shows what the log never shows, shape (N,).
        reward: Shape (N,).
        group: What is drawn together, indices from 0, shape (N,).
    """
    num, total = len(weight), float(weight.sum())
    num_top = max(1, math.ceil(TOP_SHARE * num))
    top = np.partition(weight, num - num_top)[num - num_top :]
    some = total if total > 0 else 1.0
    return Overlap(
        num_rows=num,
        effective_sample_size=effective_size(weight),
        largest_weight=float(weight.max()),
        mean_weight=float(weight.mean()),
        mean_weight_error=float(weight.std(ddof=1) / math.sqrt(num)) if num > 1 else 0.0,
        unlogged_share=float(unlogged.mean()),
        largest_share=float(weight.max() / some),
        top_share=float(top.sum() / some),
        num_effective_groups=effective_size(np.bincount(group, weight)),
        num_effective_rewards=effective_size(weight * np.abs(reward)),
    )


def effective_size(weight: np.ndarray) -> float:
    """Return (sum w)^2 / sum w^2, 0 where all are 0 or some are too large to be numbers.

    >>> effective_size(np.array([1.0, 1.0, 0.0]))
    2.0
    """
    most = float(weight.max(initial=0.0))
    if not 0 < most < math.inf:
        return 0.0
    # Squares of large weights would not be numbers.
    scaled = weight / most
    return float(scaled.sum()) ** 2 / float((scaled**2).sum())


def refusals(found: Overlap, gates: Gates) -> list[str]:
    """Return why the log cannot answer, nothing where it can."""
    reasons = []
    if found.effective_sample_size < gates.least_effective_rows:
        reasons.append(
            f"the effective sample size is {found.effective_sample_size:.1f} of "
            f"{found.num_rows:,} rows, wanted at least {gates.least_effective_rows:g}: the log "
            "hardly ever shows what the policy would"
        )
    if found.num_effective_groups < gates.least_effective_groups:
        reasons.append(
            f"the rows hang together in effectively {found.num_effective_groups:.1f} users or "
            f"lists, wanted at least {gates.least_effective_groups:g}: how sure an estimate is "
            "cannot be told from so few"
        )
    off = abs(found.mean_weight - 1)
    if (
        off > gates.mean_weight_tolerance
        and off > gates.mean_weight_errors * found.mean_weight_error
    ):
        reasons.append(
            f"the mean weight is {found.mean_weight:.3f} ± {found.mean_weight_error:.3f}, wanted "
            f"1 ± {gates.mean_weight_tolerance:g}: the policy shows what the log could not have "
            "shown, or the propensities are not those it was logged with"
        )
    if found.unlogged_share > gates.most_unlogged:
        reasons.append(
            f"{found.unlogged_share:.1%} of what the policy shows was never logged, wanted at most "
            f"{gates.most_unlogged:.0%}: nothing is known of those items"
        )
    if found.top_share > gates.most_top_share and found.effective_sample_size > 0:
        reasons.append(
            f"{found.top_share:.1%} of the total weight lies on {TOP_SHARE:.0%} of the rows, "
            f"wanted at most {gates.most_top_share:.0%}: the answer would be theirs alone"
        )
    if found.num_effective_rewards == 0:
        reasons.append(
            "no row that the policy would show has a reward other than 0: there is nothing to "
            "tell policies apart by; log longer"
        )
    return reasons


def cautions(found: Overlap) -> list[str]:
    """Return what the reader must know of an estimate that is not refused."""
    told = []
    if found.num_effective_rewards < 10:
        told.append(
            f"only {found.num_effective_rewards:.1f} rewarded rows carry the estimate: bootstrap "
            "and normal intervals are too narrow then; read the empirical-Bernstein one"
        )
    off = abs(found.mean_weight - 1)
    if off > 3 * found.mean_weight_error and off > 1e-6:
        told.append(
            f"the mean weight is {found.mean_weight:.4f}, further from 1 than chance explains: "
            "look at how propensities were logged"
        )
    return told
