r"""Estimators of a policy's value out of a log of another: what each row contributes.

r is the reward, w = target / propensity the weight of what was shown, q(x, a) a model of the
reward, q_i its value for what was shown, v_i = sum over actions of target(a) q(x_i, a).

    direct method   mean v
    IPW             mean w r                     Horvitz and Thompson 1952
    clipped IPW     mean min(w, M) r             Ionides 2008
    SNIPW           sum w r / sum w              Hajek 1971; Swaminathan and Joachims 2015
    DR              mean v + w (r - q)           Dudik, Langford and Li 2011
    SNDR            mean v + sum w (r - q) / sum w
    Switch-DR       DR with w set to 0 above lambda          Wang, Agarwal and Dudik 2017
    DRos            DR with w lambda / (w^2 + lambda)        Su et al. 2020 (optimistic shrinkage)
    replay          mean r of rows accepted with chance w / max w    Li et al. 2011

Each is mean(base) + sum(gain) / sum(share) over rows, which is all that intervals need to know.
Shape suffixes: N rows.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What N rows (or lists) contribute to an estimate, mean(base) + sum(gain) / sum(share).

    Attributes:
        base: Shape (N,).
        gain: Shape (N,).
        share: Shape (N,), with a sum above 0; all ones where the estimate is a plain mean.
        low: Least value that base + gain can have where it is a plain mean; None elsewhere.
        high: Greatest; None likewise.
    """

    base: np.ndarray
    gain: np.ndarray
    share: np.ndarray
    low: float | None = None
    high: float | None = None

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.base.mean() + self.gain.sum() / self.share.sum())

    @property
    def influence(self) -> np.ndarray:
        """How far each row moves the estimate, times N; sums to 0, shape (N,).

        Source: the delta method for a ratio, Hampel 1974.
        """
        ratio = self.gain.sum() / self.share.sum()
        return self.base - self.base.mean() + (self.gain - ratio * self.share) / self.share.mean()


def ipw(reward: np.ndarray, weight: np.ndarray, reward_range: tuple[float, float]) -> Contributions:
    """Return inverse propensity weighting.

    Args:
        reward: Shape (N,).
        weight: Target over propensity, at least 0, shape (N,).
        reward_range: Of the reward.

    >>> ipw(np.array([1.0, 0.0]), np.array([0.5, 1.5]), (0.0, 1.0)).value
    0.25
    """
    most = float(weight.max(initial=0.0))
    low, high = min(0.0, most * reward_range[0]), max(0.0, most * reward_range[1])
    return _mean(np.zeros(len(reward)), weight * reward, low, high)


def clipped_ipw(
    reward: np.ndarray, weight: np.ndarray, reward_range: tuple[float, float], clip: float
) -> Contributions:
    """Return IPW with no weight above `clip`: biased, with less variance.

    >>> clipped_ipw(np.array([1.0, 1.0]), np.array([8.0, 1.0]), (0.0, 1.0), 3.0).value
    2.0
    """
    return ipw(reward, np.minimum(weight, clip), reward_range)


def snipw(reward: np.ndarray, weight: np.ndarray) -> Contributions:
    """Return self-normalised IPW; its value lies in the range of the rewards.

    >>> snipw(np.array([1.0, 0.0]), np.array([0.5, 1.5])).value
    0.25
    """
    return Contributions(base=np.zeros(len(reward)), gain=weight * reward, share=weight)


def direct_method(v: np.ndarray, reward_range: tuple[float, float]) -> Contributions:
    """Return the mean of what a model expects under the target.

    Args:
        v: Expected reward of each row under the target, shape (N,).
        reward_range: Of the reward.
    """
    return _mean(v, np.zeros(len(v)), *reward_range)


def doubly_robust(
    reward: np.ndarray,
    weight: np.ndarray,
    q: np.ndarray,
    v: np.ndarray,
    reward_range: tuple[float, float],
) -> Contributions:
    """Return DR: right on average where either the weights or the model are.

    Args:
        reward: Shape (N,).
        weight: Of rows, perhaps shrunk, shape (N,).
        q: Expected reward of what was shown, shape (N,).
        v: Expected reward under the target, times the weight of what stands above, shape (N,).
        reward_range: Of the reward.

    >>> one = np.ones(2)
    >>> doubly_robust(np.array([1.0, 0.0]), one, 0.5 * one, 0.5 * one, (0.0, 1.0)).value
    0.5
    """
    reach = float(weight.max(initial=0.0)) * (reward_range[1] - reward_range[0])
    low, high = min(reward_range[0], float(v.min())), max(reward_range[1], float(v.max()))
    return _mean(v, weight * (reward - q), low - reach, high + reach)


def self_normalised_dr(
    reward: np.ndarray, weight: np.ndarray, q: np.ndarray, v: np.ndarray
) -> Contributions:
    """Return DR whose correction is divided by the sum of weights instead of the rows."""
    return Contributions(base=v, gain=weight * (reward - q), share=weight)


def switched(weight: np.ndarray, threshold: float) -> np.ndarray:
    """Return weights for Switch-DR: 0 above the threshold, at 0 the direct method is left.

    >>> switched(np.array([0.5, 2.0, 3.0]), 2.0).tolist()
    [0.5, 2.0, 0.0]
    """
    return np.where(weight <= threshold, weight, 0.0)


def shrunk(weight: np.ndarray, strength: float) -> np.ndarray:
    """Return weights for DRos: w lambda / (w^2 + lambda), all 0 at 0, the weights at infinity.

    >>> shrunk(np.array([1.0, 3.0]), 1.0).tolist()
    [0.5, 0.3]
    """
    return weight / (1.0 + weight**2 / strength) if strength > 0 else np.zeros(len(weight))


def replay(reward: np.ndarray, weight: np.ndarray, draws: np.ndarray) -> Contributions:
    """Return the mean reward of the rows that the target would have shown, by rejection.

    A row is accepted with a chance of w / max w. Where the log is uniform and the target shows one
    item, accepted are exactly the rows that show it.

    Args:
        reward: Shape (N,).
        weight: Shape (N,), some of it above 0.
        draws: Uniform in [0, 1), shape (N,).
    """
    accepted = (draws * weight.max() < weight).astype(np.float64)
    return Contributions(base=np.zeros(len(reward)), gain=accepted * reward, share=accepted)


def _mean(base: np.ndarray, gain: np.ndarray, low: float, high: float) -> Contributions:
    return Contributions(base=base, gain=gain, share=np.ones(len(base)), low=low, high=high)
