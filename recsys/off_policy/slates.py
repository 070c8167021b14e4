r"""Estimators of whole lists: the mean over lists of the sum of their rewards.

w_k is the weight of place k given what stands above it, r_k its reward, K the places of a list.

    per-position IPS        sum over k of w_k r_k: each place alone (Li et al. 2018, item-position)
    standard slate IPS      (product of all w_k) sum of r_k       (Precup, Sutton and Singh 2000)
    reward-interaction IPS  sum over k of (product of w_j, j <= k) r_k    (McInerney et al. 2020)
    pseudo-inverse          (1 - K + sum of w_k) sum of r_k       (Swaminathan et al. 2017)

Standard IPS is right whatever happens in a list, and has by far the largest variance.
Reward-interaction IPS is right where a place depends on those above it only (users read downward).
Per-position IPS is right where places do not depend on each other; the pseudo-inverse in this form
is, where both policies fill places independently and the reward is a sum over places.
Shape suffixes: N rows, L lists.
"""

from dataclasses import dataclass

import numpy as np

from recsys.off_policy.estimators import Contributions
from recsys.off_policy.log import Log
from recsys.off_policy.overlap import effective_size

SLATE_ESTIMATORS = (
    "per_position_ips",
    "slate_ips",
    "reward_interaction_ips",
    "pseudo_inverse",
)


@dataclass(frozen=True, kw_only=True)
class SlateEstimate:
    """One estimator over L lists.

    Attributes:
        found: What each list contributes, L rows.
        group: What is drawn together, indices from 0, shape (L,).
        effective_sample_size: Of the weights of lists: of the last place's, where they multiply.
    """

    found: Contributions
    group: np.ndarray
    effective_sample_size: float


@dataclass(frozen=True, kw_only=True)
class CascadeWeights:
    """Weights of rows down to their place.

    Attributes:
        above: Product of the ratios of the places above in the same list, 1 at the top, shape (N,).
        weight: The same with the row's own, shape (N,).
    """

    above: np.ndarray
    weight: np.ndarray


def cascade_weights(log: Log, ratio: np.ndarray) -> CascadeWeights:
    """Return weights where the chances of a place are those given what stands above it.

    What stands above under the target is something else than what stood there in the log, so a row
    has the weight of all that led to it. Of rows without lists the weight is the ratio.

    Args:
        log: Of N rows.
        ratio: Target over propensity of each row alone, shape (N,).
    """
    if not log.has_lists:
        return CascadeWeights(above=np.ones(len(log)), weight=ratio)
    order = np.lexsort((log.position, log.slate))
    lengths = np.bincount(log.slate)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    products = _products(ratio[order], starts, lengths)
    shifted = np.concatenate([[1.0], products[:-1]])
    shifted[starts] = 1.0
    above, weight = np.empty(len(log)), np.empty(len(log))
    above[order], weight[order] = shifted, products
    return CascadeWeights(above=above, weight=weight)


def slate_estimates(log: Log, weight: np.ndarray) -> dict[str, SlateEstimate]:
    """Return every estimator of `SLATE_ESTIMATORS`, by name; none where no list has two places.

    Args:
        log: Of N rows.
        weight: Target over propensity of each row alone, shape (N,).
    """
    num_lists = len(log.list_ids)
    if not log.has_lists or num_lists == len(log):
        return {}
    order = np.lexsort((log.position, log.slate))
    slate, w, r = log.slate[order], weight[order], log.reward[order]
    starts = np.searchsorted(slate, np.arange(num_lists))
    lengths = np.bincount(slate, minlength=num_lists)
    above = _products(w, starts, lengths)
    total = np.bincount(slate, r)
    sum_w = np.bincount(slate, w)
    whole = above[starts + lengths - 1]
    added = 1 - lengths + sum_w
    with np.errstate(invalid="ignore"):
        terms = {
            "per_position_ips": (np.bincount(slate, w * r), sum_w),
            "slate_ips": (whole * total, whole),
            "reward_interaction_ips": (np.bincount(slate, above * r), whole),
            "pseudo_inverse": (added * total, np.abs(added)),
        }
    group = np.unique(log.group[order][starts], return_inverse=True)[1]
    return {
        name: SlateEstimate(
            found=Contributions(base=np.zeros(num_lists), gain=gain, share=np.ones(num_lists)),
            group=group,
            effective_sample_size=effective_size(of_list),
        )
        for name, (gain, of_list) in terms.items()
    }


def _products(w: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the product of weights down to each row within its list, shape (N,).

    What is too large for a number is infinite, which gates refuse.
    """
    products = w.copy()
    for step in range(1, int(lengths.max())):
        rows = starts[lengths > step] + step
        with np.errstate(over="ignore", invalid="ignore"):
            products[rows] *= products[rows - 1]
    return products
