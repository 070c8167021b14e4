"""One policy on one log: gates first, then every estimator with its intervals.

Where a gate refuses, no estimate is made: a number beside a refusal would be read all the same.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recsys.errors import LogError
from recsys.off_policy import estimators as est
from recsys.off_policy.clipping import Clip, choose_clip
from recsys.off_policy.estimators import Contributions
from recsys.off_policy.intervals import bootstrap, intervals
from recsys.off_policy.log import Log
from recsys.off_policy.overlap import (
    Gates,
    cautions,
    measure_overlap,
    refusals,
)
from recsys.off_policy.policies import TargetPolicy
from recsys.off_policy.report import ESTIMATED, NOT_ESTIMABLE, Estimate, OffPolicyReport
from recsys.off_policy.reward_models import (
    Modelled,
    RewardModelConfig,
    boosted_reward,
    mean_reward,
)
from recsys.off_policy.slates import (
    SLATE_ESTIMATORS,
    CascadeWeights,
    cascade_weights,
    slate_estimates,
)

WEIGHTED = ("replay", "ipw", "clipped_ipw", "snipw")
MODELLED = ("dm", "dr", "sndr", "switch_dr", "dros")
BOOSTED = "_lightgbm"
ESTIMATORS = (*WEIGHTED, *MODELLED, *(f"{name}{BOOSTED}" for name in MODELLED), *SLATE_ESTIMATORS)
# What the log itself earned is resampled beside the estimates.
_LOGGED = "logged"


@dataclass(frozen=True, kw_only=True)
class OffPolicyConfig:
    """How a policy is evaluated.

    Attributes:
        estimator: The one whose value is the answer, of `ESTIMATORS`.
        switch_lambda: Largest weight that Switch-DR corrects with.
        shrinkage_lambda: Of DRos; the larger, the closer to DR.
        clip: Largest weight of clipped IPW; None lets SLOPE choose.
        seed: Of resamples, folds, trees and rejection.
        num_resamples: Of the bootstrap.
        level: Chance with which intervals are to hold the value.
        boosted: Whether a LightGBM model of the reward is fitted as well.
        independent_places: Whether chances in a list are those of places each for itself. False:
            they are given what stands above, as the table of exposures has them.
        reward_model: How.
        gates: When an estimate is refused.
    """

    estimator: str = "dr"
    switch_lambda: float = 2.0
    shrinkage_lambda: float = 10.0
    clip: float | None = None
    seed: int = 12345
    num_resamples: int = 1000
    level: float = 0.95
    boosted: bool = True
    independent_places: bool = False
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    gates: Gates = field(default_factory=Gates)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.estimator not in ESTIMATORS:
            raise ValueError(
                f"unknown estimator {self.estimator!r}; known: {', '.join(ESTIMATORS)}"
            )
        if self.estimator.endswith(BOOSTED) and not self.boosted:
            raise ValueError(f"{self.estimator} needs a LightGBM model, and boosted is False")
        for name in ("switch_lambda", "shrinkage_lambda"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted at least 0")
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ValueError(f"clip is {self.clip}, wanted above 0 and finite")
        if self.num_resamples < 1 or not 0 < self.level < 1:
            raise ValueError(
                f"num_resamples {self.num_resamples} and level {self.level}: wanted at least 1, "
                "and between 0 and 1"
            )


def evaluate_policy(
    log: Log, target: TargetPolicy, config: OffPolicyConfig | None = None
) -> OffPolicyReport:
    """Evaluate a policy on a log of another, or refuse to.

    Args:
        log: What was shown, and what followed.
        target: The policy, on the rows of that log.
        config: How; None for the defaults.

    Raises:
        LogError: If propensities are so small that weights are no numbers.
    """
    config = config or OffPolicyConfig()
    ratio = target.logged / log.propensity
    weights = CascadeWeights(above=np.ones(len(log)), weight=ratio)
    if not config.independent_places:
        weights = cascade_weights(log, ratio)
    weight = weights.weight
    if not np.isfinite(weight).all():
        raise LogError(
            f"weights are too large to be numbers: propensities go down to {log.propensity.min():g}"
            ", and those of a list are multiplied"
        )
    overlap = measure_overlap(weight, target.unlogged, log.reward, log.group)
    reasons = refusals(overlap, config.gates)
    estimates: dict[str, Estimate] = {}
    left_out: dict[str, str] = {}
    clip = None
    logged = est.direct_method(log.reward, log.reward_range)
    if reasons:
        logged_interval = bootstrap(
            [logged],
            log.group,
            seed=config.seed,
            num_resamples=config.num_resamples,
            level=config.level,
        )[0]
    else:
        clip = (
            choose_clip(log.reward, weight, log.group, log.reward_range)
            if config.clip is None
            else Clip(
                value=config.clip, num_tried=1, share_clipped=float((weight > config.clip).mean())
            )
        )
        found = _of_rows(log, target, weights, clip.value, config)
        num_accepted = float(found["replay"].share.sum())
        if num_accepted < config.gates.least_effective_rows:
            del found["replay"]
        sizes = dict.fromkeys(found, overlap.effective_sample_size) | {"replay": num_accepted}
        sizes[_LOGGED] = float(len(log))
        estimates = _estimates(found | {_LOGGED: logged}, log.group, sizes, config)
        logged_interval = estimates.pop(_LOGGED).intervals.bootstrap
        of_lists, left_out = _of_lists(log, ratio, config)
        if "replay" not in estimates:
            left_out["replay"] = (
                f"it accepts {num_accepted:.0f} of {len(log):,} rows, wanted at least "
                f"{config.gates.least_effective_rows:g}"
            )
        estimates |= of_lists
        if config.estimator not in estimates:
            why = left_out.get(config.estimator, "the log does not name lists of several places")
            reasons = [f"{config.estimator} cannot be had: {why}"]
            estimates, clip = {}, None
    return OffPolicyReport(
        policy=target.name,
        reward=log.reward_name,
        verdict=NOT_ESTIMABLE if reasons else ESTIMATED,
        reasons=reasons,
        cautions=[] if reasons else cautions(overlap),
        estimator=config.estimator,
        estimates=estimates,
        left_out=left_out,
        overlap=overlap,
        clip=clip,
        logged_value=logged.value,
        logged_interval=logged_interval,
        num_rows=len(log),
        num_actions=log.num_actions,
        num_lists=len(log.list_ids) if log.has_lists else None,
        num_groups=int(log.group.max()) + 1,
        weight=weight,
    )


def _of_rows(
    log: Log, target: TargetPolicy, weights: CascadeWeights, clip: float, config: OffPolicyConfig
) -> dict[str, Contributions]:
    r, bounds, weight = log.reward, log.reward_range, weights.weight
    draws = np.random.default_rng(config.seed).random(len(log))
    found = {
        "replay": est.replay(r, weight, draws),
        "ipw": est.ipw(r, weight, bounds),
        "clipped_ipw": est.clipped_ipw(r, weight, bounds, clip),
        "snipw": est.snipw(r, weight),
    } | _modelled(log, mean_reward(log, target), weights, config, "")
    if config.boosted:
        model = boosted_reward(log, target, seed=config.seed, config=config.reward_model)
        found |= _modelled(log, model, weights, config, BOOSTED)
    return found


def _modelled(
    log: Log, model: Modelled, weights: CascadeWeights, config: OffPolicyConfig, ending: str
) -> dict[str, Contributions]:
    r, bounds, weight = log.reward, log.reward_range, weights.weight
    # What the target expects at a place, in lists whose places above are the target's.
    v = weights.above * model.v
    switched = est.switched(weight, config.switch_lambda)
    shrunk = est.shrunk(weight, config.shrinkage_lambda)
    found = {
        "dm": est.direct_method(model.v, bounds),
        "dr": est.doubly_robust(r, weight, model.q, v, bounds),
        "sndr": est.self_normalised_dr(r, weight, model.q, v),
        "switch_dr": est.doubly_robust(r, switched, model.q, v, bounds),
        "dros": est.doubly_robust(r, shrunk, model.q, v, bounds),
    }
    return {f"{name}{ending}": value for name, value in found.items()}


def _of_lists(
    log: Log, ratio: np.ndarray, config: OffPolicyConfig
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Return estimates of whole lists, and why some are left out: each has a gate of its own."""
    least = config.gates.least_effective_rows
    slates = slate_estimates(log, ratio)
    sizes = {name: slate.effective_sample_size for name, slate in slates.items()}
    left_out = {
        name: f"the effective sample size is {size:.1f} lists, wanted at least {least:g}"
        for name, size in sizes.items()
        if size < least
    }
    kept = {name: slate for name, slate in slates.items() if name not in left_out}
    if not kept:
        return {}, left_out
    group = next(iter(kept.values())).group
    found = {name: slate.found for name, slate in kept.items()}
    return _estimates(found, group, sizes, config), left_out


def _estimates(
    found: Mapping[str, Contributions],
    group: np.ndarray,
    sizes: Mapping[str, float],
    config: OffPolicyConfig,
) -> dict[str, Estimate]:
    told = intervals(
        found,
        group,
        seed=config.seed,
        num_resamples=config.num_resamples,
        level=config.level,
    )
    return {
        name: Estimate(value=of.value, intervals=told[name], effective_sample_size=sizes[name])
        for name, of in found.items()
    }
