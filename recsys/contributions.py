"""What each feature, and each group of them, adds to a candidate's score.

The trees' part is told by TreeSHAP: exact Shapley values of each feature for the trees' output,
where what is not known of a row is averaged as the training rows went.
Source: Lundberg et al. 2020, "From local explanations to global understanding with explainable AI
for trees", Algorithm 2, as LightGBM's `pred_contrib` computes it.

The score is blend x z(trees) + (1 - blend) x z(base) (`recsys.ranker`), both of them standardised
over a user's candidates; so are the parts, and they add up to the score:

    score = start + base + sum over features

It costs a hundred times what scores cost, so it is asked for the items that are shown.

Shape suffixes: K candidates, M items asked about, F features.
"""

from dataclasses import dataclass

import numpy as np

from recsys.candidates import Candidates
from recsys.feature_groups import GROUPS, group_of
from recsys.ranker import FUSED, Ranker, base_scores
from recsys.ranker_kernels import mean_and_deviation


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """Parts of the scores of M candidates of one user; they add up to the scores.

    Attributes:
        features: What each feature adds, float64, shape (M, F).
        base: What the order that the trees are blended with adds, float64, shape (M,).
        start: What is the same for all: by how much candidates are unlike what was learned from.
        base_group: The group that the base belongs to.
        names: Names of the F features.
    """

    features: np.ndarray
    base: np.ndarray
    start: float
    base_group: str
    names: list[str]

    def by_group(self) -> dict[str, np.ndarray]:
        """Return what each of `GROUPS` adds, float64, shape (M,); the base is in its group."""
        added = {group: np.zeros(len(self.base)) for group in GROUPS}
        for column, name in enumerate(self.names):
            added[group_of(name)] += self.features[:, column]
        added[self.base_group] += self.base
        return added


def contributions(
    ranker: Ranker, features: np.ndarray, candidates: Candidates, places: np.ndarray
) -> Contributions:
    """Tell what adds up to the scores that `Ranker.score` gives some candidates of one user.

    Args:
        ranker: Fitted.
        features: Of all candidates, shape (1, K, F).
        candidates: Of one user.
        places: Candidates that are asked about, shape (M,), none of them padding.

    Raises:
        ValueError: If the candidates are not of one user, or a place is none of theirs.
    """
    item_idx = candidates.item_idx
    if len(item_idx) != 1:
        raise ValueError(f"contributions are told of one user at a time, not {len(item_idx)}")
    if (item_idx[0, places] < 0).any():
        raise ValueError("a place that is padding has no score")
    base_K = base_scores(candidates, ranker.base)[0]
    base_group = group_of(FUSED if ranker.base == FUSED else f"score:{ranker.base}")
    rows = np.zeros((len(places), features.shape[2]))
    if ranker.blend == 0.0:
        return Contributions(
            features=rows,
            base=base_K[places].astype(np.float64),
            start=0.0,
            base_group=base_group,
            names=ranker.feature_names,
        )
    mean_b, spread_b = mean_and_deviation(base_K, item_idx[0])
    mean_t, spread_t = mean_and_deviation(ranker.tree_scores(features[0]), item_idx[0])
    start = 0.0
    if len(places):
        told = np.asarray(
            ranker.booster.predict(features[0, places], pred_contrib=True, num_threads=1)
        )
        # The last column is the mean of the trees over what they learned from.
        rows = ranker.blend * told[:, :-1] / spread_t
        start = ranker.blend * (float(told[0, -1]) - mean_t) / spread_t
    return Contributions(
        features=rows,
        base=(1.0 - ranker.blend) * (base_K[places] - mean_b) / spread_b,
        start=start,
        base_group=base_group,
        names=ranker.feature_names,
    )
