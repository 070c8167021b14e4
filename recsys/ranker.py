"""LightGBM LambdaMART over candidates, blended with the best order of its sources and gated.

Purchases are graded by how they went: one that was sent back or disliked is worth less than one of
which nothing is known, and that less than one that satisfied (`features.felt_purchases`).

Only users whose positive was retrieved are trained on: adding the missed positive to the list
would teach the ranker to prefer what the sources score low.

Shape suffixes: B users, K candidates, F features.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys import ranker_kernels as kernels
from recsys.candidates import Candidates
from recsys.errors import NotEnoughDataError
from recsys.flat_trees import FlatTrees
from recsys.lightgbm_alone import lgb
from recsys.ranker_config import RankerConfig

BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)
NUM_FOLDS = 5
MIN_USERS = 50
FUSED = "fused"


@dataclass(frozen=True, kw_only=True)
class Ranker:
    """A fitted ranker.

    Attributes:
        booster: The trees.
        base: What the trees are blended with: `fused`, or the source that beat it on validation.
        blend: Weight of the trees against the base order, in [0, 1]; 0 means that the trees did
            not beat it on validation and the base order answers (the gate).
        validation: NDCG@10 over the training users by cross-validation: `base`, `trees`, `blend`.
        feature_names: Names of the F features.
    """

    booster: lgb.Booster
    base: str
    blend: float
    validation: dict[str, float]
    feature_names: list[str]

    def score(self, features: np.ndarray, candidates: Candidates) -> np.ndarray:
        """Return final scores, higher is better, -inf for padding, float32, shape (B, K)."""
        shape = features.shape[:2]
        base = base_scores(candidates, self.base)
        if self.blend == 0.0:
            return np.where(candidates.item_idx < 0, -np.inf, base)
        trees = self.tree_scores(features.reshape(-1, features.shape[2]))
        scores = blended(trees.reshape(shape), base, candidates.item_idx, self.blend)
        return scores.astype(np.float32)

    def tree_scores(self, rows: np.ndarray) -> np.ndarray:
        """Return what the trees alone say of rows of features (R, F), float64, shape (R,)."""
        if self._flat is None:
            return np.asarray(self.booster.predict(rows, num_threads=1))
        return self._flat.predict(rows)

    @cached_property
    def _flat(self) -> FlatTrees | None:
        """The same trees in a faster form, where they have one."""
        return FlatTrees.of(self.booster)


def base_scores(candidates: Candidates, base: str) -> np.ndarray:
    """Return the fused scores, or one source's order as 1 / (10 + rank), float32, shape (B, K)."""
    if base == FUSED:
        return candidates.fused
    rank = candidates.rank[:, :, candidates.sources.index(base)]
    return (1.0 / (10.0 + rank)).astype(np.float32)


def blended(trees: np.ndarray, base: np.ndarray, item_idx: np.ndarray, blend: float) -> np.ndarray:
    """Return blend x z(trees) + (1 - blend) x z(base), -inf for padding, shape (B, K).

    z standardises over a user's real candidates, so the two are on one scale.
    """
    return kernels.blended(trees, base, item_idx, blend)


def fit_ranker(
    features: np.ndarray,
    candidates: Candidates,
    grades: np.ndarray,
    *,
    num_targets: np.ndarray,
    num_asked: int,
    names: list[str],
    config: RankerConfig,
) -> Ranker:
    """Fit on held-out items; choose the number of trees and the blend by users not fitted on.

    Args:
        features: Pair features, shape (B, K, F).
        candidates: The candidates the features belong to.
        grades: Grade of each candidate, 0 where it was not bought, int8, shape (B, K). Users
            without any are left out.
        num_targets: Held-out items of each user, retrieved or not, shape (B,).
        num_asked: Users that were asked about, those left out before among them.
        names: Names of the F features.
        config: How to fit.

    Raises:
        NotEnoughDataError: If fewer than `MIN_USERS` users had an item retrieved.
        ValueError: If a monotone feature is none of these.
    """
    unknown = sorted(set(config.monotone) - set(names))
    if unknown:
        raise ValueError(f"no such features to be monotone in: {unknown}; known: {names}")
    users = np.flatnonzero(grades.any(1))
    retrieved = len(users) / max(1, num_asked)
    if len(users) < MIN_USERS:
        raise NotEnoughDataError(
            f"only {len(users)} users had their held-out item among the candidates; a ranker needs "
            f"{MIN_USERS}: bring more interactions or raise num_candidates"
        )
    rng = np.random.default_rng(config.seed)
    if len(users) > config.max_users:
        users = np.sort(rng.choice(users, config.max_users, replace=False))
    real = candidates.item_idx >= 0
    fold = rng.permutation(len(users)) % NUM_FOLDS
    tested = np.flatnonzero(fold == 0) if _has_many(users, config) else np.arange(len(users))
    out_of_fold = {trees: np.zeros((len(users), grades.shape[1])) for trees in config.num_trees}
    for k in np.unique(fold[tested]):
        rest, held = users[fold != k], fold == k
        booster = _boost(
            features[rest], grades[rest], real[rest], max(config.num_trees), names, config
        )
        for trees, scores in out_of_fold.items():
            scores[held] = _predict(booster, features[users[held]], trees)
    asked = users[tested]
    wanted, num_wanted = grades[asked] > 0, num_targets[asked]
    orders = {
        name: np.where(real, base_scores(candidates, name), -np.inf)[asked]
        for name in (FUSED, *candidates.sources)
    }
    base = max(orders, key=lambda name: _mean_ndcg(orders[name], wanted, num_wanted))
    choices = {
        (trees, blend): _mean_ndcg(
            blended(scores[tested], orders[base], candidates.item_idx[asked], blend),
            wanted,
            num_wanted,
        )
        for trees, scores in out_of_fold.items()
        for blend in BLENDS
    }
    trees, blend = max(choices, key=lambda choice: (choices[choice], -choice[1]))
    return Ranker(
        booster=_boost(features[users], grades[users], real[users], trees, names, config),
        base=base,
        blend=blend,
        validation={
            "base": choices[trees, 0.0] * retrieved,
            "trees": choices[trees, 1.0] * retrieved,
            "blend": choices[trees, blend] * retrieved,
        },
        feature_names=names,
    )


def _boost(
    features: np.ndarray,
    grades: np.ndarray,
    real: np.ndarray,
    num_trees: int,
    names: list[str],
    config: RankerConfig,
) -> lgb.Booster:
    """Fit trees on the real candidates of each user; padding is nobody's negative."""
    data = lgb.Dataset(
        features[real],
        grades[real],
        group=real.sum(1),
        feature_name=[name.replace(":", "_") for name in names],
    )
    num_leaves = config.leaves_of_many if _has_many(grades, config) else config.num_leaves
    sampled = {"feature_fraction": 0.5, "bagging_fraction": 0.7, "bagging_freq": 1}
    parameters = config.lambdarank(names, num_leaves) | sampled
    return lgb.train(parameters, data, num_trees)


def _predict(booster: lgb.Booster, features: np.ndarray, num_trees: int) -> np.ndarray:
    flat = features.reshape(-1, features.shape[2])
    return np.asarray(booster.predict(flat, num_iteration=num_trees)).reshape(features.shape[:2])


def _has_many(users: np.ndarray, config: RankerConfig) -> bool:
    return len(users) >= config.many_users


def _mean_ndcg(
    scores: np.ndarray, wanted: np.ndarray, num_targets: np.ndarray, k: int = 10
) -> float:
    """Mean binary NDCG@k; ties rank what is wanted last."""
    discount = 1.0 / np.log2(np.arange(k) + 2)
    # A stable sort by score, in which what is not wanted stands before what is.
    order = np.lexsort((wanted, -scores), axis=1)[:, :k]
    found = np.take_along_axis(wanted, order, 1) & np.isfinite(np.take_along_axis(scores, order, 1))
    gain = found @ discount[: found.shape[1]]
    return float((gain / np.cumsum(discount)[np.minimum(num_targets, k) - 1]).mean())
