"""How good probabilities of an outcome are: order, lift, calibration, against peers.

Shape suffixes: N users.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from sentiment.metrics import calibration_error

_LIFT_SHARE = 0.1
_95 = [0.025, 0.975]


@dataclass(frozen=True, kw_only=True)
class OutcomeFigures:
    """Figures of one way to tell an outcome.

    Attributes:
        auc: Area under the ROC curve.
        auc_low: Lower end of its 95% bootstrap interval over users.
        auc_high: Upper end.
        pr_auc: Average precision; that of chance is the share of users with the outcome.
        lift: Share with the outcome among the tenth that scored highest, over the share of all.
        calibration_error: Over 15 bins, of the probability of the outcome.
        predicted_to_actual: Sum of probabilities over the number of outcomes.
    """

    auc: float
    auc_low: float
    auc_high: float
    pr_auc: float
    lift: float
    calibration_error: float
    predicted_to_actual: float


def outcome_figures(
    probability: np.ndarray, label: np.ndarray, *, seed: int = 0, num_resamples: int = 1000
) -> OutcomeFigures:
    """Measure probabilities against labels, each of shape (N,), both outcomes present."""
    low, high = np.quantile(_resampled_auc({"": probability}, label, seed, num_resamples)[""], _95)
    return OutcomeFigures(
        auc=float(roc_auc_score(label, probability)),
        auc_low=float(low),
        auc_high=float(high),
        pr_auc=float(average_precision_score(label, probability)),
        lift=lift(probability, label),
        calibration_error=calibration_error(
            np.stack([1 - probability, probability], axis=1), label.astype(np.int64)
        ),
        predicted_to_actual=float(probability.sum() / label.sum()),
    )


def lift(score: np.ndarray, label: np.ndarray, share: float = _LIFT_SHARE) -> float:
    """Return how much more often the highest scores have the outcome than all do.

    Ties are broken by place.

    >>> lift(np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 0, 0, 1]), share=0.25)
    2.0
    """
    first = np.argsort(-score, kind="stable")[: max(1, round(share * len(score)))]
    return float(label[first].mean() / label.mean())


def auc_gain(
    ours: np.ndarray,
    peer: np.ndarray,
    label: np.ndarray,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
) -> tuple[float, float, float]:
    """Return by how much our AUC is above a peer's, and the ends of its paired 95% interval."""
    aucs = _resampled_auc({"ours": ours, "peer": peer}, label, seed, num_resamples)
    low, high = np.quantile(aucs["ours"] - aucs["peer"], _95)
    gain = roc_auc_score(label, ours) - roc_auc_score(label, peer)
    return float(gain), float(low), float(high)


def _resampled_auc(
    scores: Mapping[str, np.ndarray], label: np.ndarray, seed: int, num_resamples: int
) -> dict[str, np.ndarray]:
    """Return the AUC of each score on the same bootstrap resamples of users."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in scores}
    while len(next(iter(found.values()))) < num_resamples:
        picked = rng.integers(0, len(label), len(label))
        if 0 < label[picked].sum() < len(label):
            for name, score in scores.items():
                found[name].append(roc_auc_score(label[picked], score[picked]))
    return {name: np.array(aucs) for name, aucs in found.items()}
