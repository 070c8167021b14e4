"""Models of the reward, for the direct method and the doubly robust estimators.

Shape suffixes: N rows, n rows of a part, A actions, F features.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.lightgbm_alone import lgb
from recsys.off_policy.log import Log
from recsys.off_policy.policies import TargetPolicy

_CELLS_AT_ONCE = 4_000_000
_AFFINITY = "user-item_affinity_"


@dataclass(frozen=True, kw_only=True)
class Modelled:
    """What a model expects in each row.

    Attributes:
        q: Of what was shown, shape (N,).
        v: Under the target, the sum over actions of its chance times q, shape (N,).
    """

    q: np.ndarray
    v: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RewardModelConfig:
    """How the LightGBM model is fitted.

    Attributes:
        num_folds: A row is told by a model that has not seen its group.
        num_trees: Boosting rounds.
        learning_rate: Of each.
        num_leaves: Of a tree.
        min_data_in_leaf: Rewards are rare: small leaves would remember them.
        num_threads: CPU threads.
    """

    num_folds: int = 3
    num_trees: int = 60
    learning_rate: float = 0.05
    num_leaves: int = 15
    min_data_in_leaf: int = 50
    num_threads: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_folds < 2:
            raise ValueError(f"num_folds is {self.num_folds}, wanted at least 2")


def mean_reward(log: Log, target: TargetPolicy) -> Modelled:
    """Return the model that expects the mean reward of the log, whatever is shown."""
    q = np.full(len(log), log.reward.mean())
    return Modelled(q=q, v=q * target.total)


def boosted_reward(
    log: Log, target: TargetPolicy, *, seed: int, config: RewardModelConfig | None = None
) -> Modelled:
    """Return what LightGBM expects from item, place and context, cross-fitted by groups.

    What a row is told comes from a model that has not seen its group, so that weights and errors of
    the model stay independent. Source: Chernozhukov et al. 2018, "Double/debiased machine
    learning".

    Args:
        log: What is learned from; of one group alone the mean reward is all that is known.
        target: Under which `v` is taken.
        seed: Of folds and trees.
        config: How it is fitted; None for the defaults.
    """
    config = config or RewardModelConfig()
    num_groups = int(log.group.max()) + 1
    if num_groups < 2:
        return mean_reward(log, target)
    num_folds = min(config.num_folds, num_groups)
    fold = np.random.default_rng(seed).permutation(num_groups)[log.group] % num_folds
    features = _Features.of(log)
    q, v = np.empty(len(log)), np.empty(len(log))
    for number in range(num_folds):
        held, learned = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        model = lgb.train(
            _parameters(config, seed),
            lgb.Dataset(
                features.of_shown(learned, log.action[learned]),
                log.reward[learned],
                categorical_feature=features.categorical,
            ),
            config.num_trees,
        )
        q[held] = _predicted(model, features.of_shown(held, log.action[held]), log)
        for rows in _parts(held, log.num_actions * features.width):
            expected = _predicted(model, features.of_all(rows, log.num_actions), log)
            chance_nA = target.actions_of(rows)
            v[rows] = (chance_nA * expected.reshape(chance_nA.shape)).sum(1)
    return Modelled(q=q, v=v)


@dataclass(frozen=True, kw_only=True)
class _Features:
    """Item, place, context, and the affinity of the user for the item, where that is known.

    Attributes:
        context_NF: Place and context; codes where they are words, -1 where unknown.
        affinity_NA: Affinity for each action, or None.
        categorical: Columns of a whole row that are codes; the first is the item.
    """

    context_NF: np.ndarray
    affinity_NA: np.ndarray | None
    categorical: list[int]

    @classmethod
    def of(cls, log: Log) -> "_Features":
        columns, categorical = [log.position.astype(np.float32)], [0, 1]
        for name in log.context.columns:
            if name.startswith(_AFFINITY):
                continue
            column = log.context[name]
            if column.dtype.is_numeric():
                columns.append(column.cast(pl.Float32).fill_null(float("nan")).to_numpy())
            else:
                # As many values as rows tell rows apart, not what they are like.
                codes = column.cast(pl.String).rank("dense").cast(pl.Float32)
                columns.append(codes.fill_null(-1.0).to_numpy())
                categorical.append(len(columns))
        return cls(
            context_NF=np.stack(columns, axis=1),
            affinity_NA=_affinity(log),
            categorical=categorical,
        )

    @property
    def width(self) -> int:
        """Features of a row F."""
        return 1 + self.context_NF.shape[1] + (self.affinity_NA is not None)

    def of_shown(self, rows: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Return features of one action a row, shape (n, F)."""
        columns = [action[:, None].astype(np.float32), self.context_NF[rows]]
        if self.affinity_NA is not None:
            columns.append(self.affinity_NA[rows, action][:, None])
        return np.concatenate(columns, axis=1)

    def of_all(self, rows: np.ndarray, num_actions: int) -> np.ndarray:
        """Return features of all actions in each row, rows first, shape (n A, F)."""
        return self.of_shown(
            np.repeat(rows, num_actions), np.tile(np.arange(num_actions), len(rows))
        )


def _affinity(log: Log) -> np.ndarray | None:
    names = [f"{_AFFINITY}{item}" for item in log.actions]
    if not set(names) <= set(log.context.columns):
        return None
    return log.context.select(pl.col(names).cast(pl.Float32)).to_numpy()


def _parts(rows: np.ndarray, cells_a_row: int) -> Iterator[np.ndarray]:
    at_once = max(1, _CELLS_AT_ONCE // cells_a_row)
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]


def _parameters(config: RewardModelConfig, seed: int) -> dict[str, object]:
    return {
        "objective": "regression",
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_data_in_leaf,
        "num_threads": config.num_threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _predicted(model: lgb.Booster, features: np.ndarray, log: Log) -> np.ndarray:
    return np.clip(np.asarray(model.predict(features)), *log.reward_range)
