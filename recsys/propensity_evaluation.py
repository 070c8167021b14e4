"""How good probabilities of an outcome are: order, lift, calibration, against peers.

Shape suffixes: N users.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

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
        lift: See `lift`, of the tenth that scored highest.
        calibration_error: See `outcome_calibration_error`.
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
    probability: np.ndarray,
    label: np.ndarray,
    user: np.ndarray | None = None,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
) -> OutcomeFigures:
    """Measure probabilities against labels.

    Args:
        probability: Of the outcome, shape (N,).
        label: 0 or 1, both present, shape (N,).
        user: Whose row it is, integers, shape (N,); None where each is another's.
        seed: Of the bootstrap.
        num_resamples: Of the bootstrap.

    Raises:
        ValueError: If one outcome is missing.
    """
    aucs = _resampled_auc({"": probability}, label, user, seed, num_resamples)[""]
    low, high = np.quantile(aucs, _95)
    return OutcomeFigures(
        auc=float(roc_auc_score(label, probability)),
        auc_low=float(low),
        auc_high=float(high),
        pr_auc=float(average_precision_score(label, probability)),
        lift=lift(probability, label),
        calibration_error=outcome_calibration_error(probability, label),
        predicted_to_actual=float(probability.sum() / label.sum()),
    )


def outcome_calibration_error(
    probability: np.ndarray, label: np.ndarray, num_bins: int = 15
) -> float:
    """Return the mean distance of probability and frequency over bins of equal width.

    Sum over bins of (share of rows) x |frequency - mean probability|, by the probability of the
    outcome and not, as `sentiment.metrics.calibration_error`, by that of the likeliest class.

    >>> outcome_calibration_error(np.array([0.3, 0.3, 0.7, 0.7]), np.array([1, 0, 1, 1]))
    0.25
    """
    bins = np.minimum((probability * num_bins).astype(int), num_bins - 1)
    gaps = np.bincount(bins, label - probability, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(label))


def lift(score: np.ndarray, label: np.ndarray, share: float = _LIFT_SHARE) -> float:
    """Return how much more often the highest scores have the outcome than all do.

    Rows whose score is that of the last place count as their mean.

    >>> lift(np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 0, 0, 1]), share=0.25)
    2.0
    >>> lift(np.array([0.5, 0.5]), np.array([1, 0]), share=0.5)
    1.0
    """
    num = max(1, round(share * len(score)))
    cut = np.sort(score)[-num]
    above, at_cut = score > cut, score == cut
    found = label[above].sum() + (num - above.sum()) * label[at_cut].mean()
    return float(found / num / label.mean())


def auc_gain(
    ours: np.ndarray,
    peer: np.ndarray,
    label: np.ndarray,
    user: np.ndarray | None = None,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
) -> tuple[float, float, float]:
    """Return by how much our AUC is above a peer's, and the ends of its paired 95% interval.

    Args:
        ours: Our scores, shape (N,).
        peer: The peer's, shape (N,).
        label: 0 or 1, both present, shape (N,).
        user: See `outcome_figures`.
        seed: Of the bootstrap.
        num_resamples: Of the bootstrap.

    Raises:
        ValueError: If one outcome is missing.
    """
    aucs = _resampled_auc({"ours": ours, "peer": peer}, label, user, seed, num_resamples)
    low, high = np.quantile(aucs["ours"] - aucs["peer"], _95)
    gain = roc_auc_score(label, ours) - roc_auc_score(label, peer)
    return float(gain), float(low), float(high)


def _resampled_auc(
    scores: Mapping[str, np.ndarray],
    label: np.ndarray,
    user: np.ndarray | None,
    seed: int,
    num_resamples: int,
) -> dict[str, np.ndarray]:
    """Return the AUC of each score on the same bootstrap resamples of users.

    A resample is how often each user is drawn, with all rows; one with a single outcome has no AUC
    and is left out.
    """
    if not 0 < label.sum() < len(label):
        raise ValueError("both outcomes are needed to measure how well they are told")
    rng = np.random.default_rng(seed)
    place = np.arange(len(label)) if user is None else np.unique(user, return_inverse=True)[1]
    num_users = int(place.max()) + 1
    orders = {name: _TiedOrder.of(score, label) for name, score in scores.items()}
    found: dict[str, list[float]] = {name: [] for name in scores}
    even = np.full(num_users, 1 / num_users)
    for _ in range(num_resamples):
        times = rng.multinomial(num_users, even)[place]
        if 0 < times @ label < times.sum():
            for name, order in orders.items():
                found[name].append(order.auc(times))
    return {name: np.array(aucs) for name, aucs in found.items()}


@dataclass(frozen=True, kw_only=True)
class _TiedOrder:
    """Users by their score, equal ones together.

    Attributes:
        by_score: Indices of users, the lowest score first, shape (N,).
        starts: Where each distinct score begins among them.
        positive: Labels in that order.
    """

    by_score: np.ndarray
    starts: np.ndarray
    positive: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray, label: np.ndarray) -> "_TiedOrder":
        by_score = np.argsort(score, kind="stable")
        ordered = score[by_score]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        return cls(by_score=by_score, starts=starts, positive=label[by_score])

    def auc(self, times: np.ndarray) -> float:
        """Return the AUC where each user counts so many times; ties count half."""
        weight = times[self.by_score]
        positives = np.add.reduceat(weight * self.positive, self.starts)
        negatives = np.add.reduceat(weight * (1 - self.positive), self.starts)
        below = np.cumsum(negatives) - negatives
        won = (positives * (below + negatives / 2)).sum()
        return float(won / (positives.sum() * negatives.sum()))
