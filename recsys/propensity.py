"""How likely a user is to do something within a horizon: gradient-boosted trees, calibrated.

Labels come from times past (`features.outcome_labels`), features from profiles as of those times.
Folds are made of users, so nobody helps to tell themselves; what the trees say of users they have
not seen decides how many trees there are, and the calibration.

Sources: Platt 1999, "Probabilistic Outputs for Support Vector Machines"; Niculescu-Mizil and
Caruana 2005, "Predicting Good Probabilities with Supervised Learning" (boosted trees need it).

Shape suffixes: N rows, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from features.behaviour import USER_BEHAVIOUR
from features.opinion import USER_OPINION
from recsys.errors import NotEnoughDataError
from recsys.lightgbm_alone import lgb

FEATURES = tuple(feature.name for feature in (*USER_BEHAVIOUR, *USER_OPINION))
RFM = ("days_since_purchase", "num_purchases", "spend_cents")
LEAST_OF_A_CLASS = 20  # Users.
_FEW_ROWS = 50_000


@dataclass(frozen=True, kw_only=True)
class PropensityConfig:
    """How the trees grow.

    Attributes:
        num_leaves: Of a tree, at least 2.
        learning_rate: Above 0.
        max_trees: At most.
        patience: Trees without a gain on the held-out fold before growing stops.
        least_in_leaf: Rows of a leaf.
        num_folds: Of users, 2 to `LEAST_OF_A_CLASS`.
        seed: Of folds and trees.
        num_threads: Of LightGBM, 0 for as many as it likes; few rows are learned by one.
    """

    num_leaves: int = 15
    learning_rate: float = 0.05
    max_trees: int = 500
    patience: int = 30
    least_in_leaf: int = 20
    num_folds: int = 5
    seed: int = 0
    num_threads: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_leaves < 2 or self.learning_rate <= 0:
            raise ValueError("num_leaves starts at 2, learning_rate is above 0")
        if not 2 <= self.num_folds <= LEAST_OF_A_CLASS:
            raise ValueError(f"num_folds must be within 2..{LEAST_OF_A_CLASS}")


@dataclass(frozen=True, kw_only=True)
class PropensityModel:
    """Trees and their calibration.

    Attributes:
        names: The F features, in order.
        trees: A LightGBM text model.
        slope: Of the calibration: probability = sigmoid(slope * margin + intercept).
        intercept: Likewise.
    """

    names: tuple[str, ...]
    trees: str
    slope: float
    intercept: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, within 0..1, shape (N,), from features (N, F)."""
        if features.ndim != 2 or features.shape[1] != len(self.names):
            raise ValueError(f"features must be (N, {len(self.names)}), not {features.shape}")
        margin = lgb.Booster(model_str=self.trees).predict(features, raw_score=True)
        return 1 / (1 + np.exp(-(self.slope * np.asarray(margin) + self.intercept)))

    def importance(self) -> dict[str, float]:
        """Return each feature's share of all that splits gained, the greatest first."""
        gain = lgb.Booster(model_str=self.trees).feature_importance("gain")
        shares = dict(zip(self.names, (gain / max(gain.sum(), 1e-12)).tolist(), strict=True))
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def feature_matrix(profiles: pl.DataFrame, names: Sequence[str] = FEATURES) -> np.ndarray:
    """Return columns of user profiles, NaN where unknown, float64, shape (N, F)."""
    columns = [profiles[name].cast(pl.Float64).fill_null(float("nan")) for name in names]
    return np.stack([column.to_numpy() for column in columns], axis=1)


def fit_propensity(
    features: np.ndarray,
    label: np.ndarray,
    user: np.ndarray,
    *,
    names: Sequence[str] = FEATURES,
    config: PropensityConfig = PropensityConfig(),
) -> PropensityModel:
    """Fit to rows of users, possibly at several times.

    Args:
        features: NaN where unknown, shape (N, F).
        label: 0 or 1, shape (N,).
        user: Which user a row is of, any integers, shape (N,).
        names: Of the features.
        config: How the trees grow.

    Raises:
        NotEnoughDataError: If there are too few users with either label.
    """
    with_it, without = (len(np.unique(user[label == value])) for value in (1, 0))
    if min(with_it, without) < LEAST_OF_A_CLASS:
        raise NotEnoughDataError(
            f"a propensity needs {LEAST_OF_A_CLASS} users of either outcome; there are {with_it} "
            f"with and {without} without"
        )
    fold = _folds_of_users(user, config)
    margin = np.empty(len(label))
    num_trees = []
    for number in range(config.num_folds):
        inside, outside = fold != number, fold == number
        booster = lgb.train(
            _parameters(config, len(label)),
            lgb.Dataset(features[inside], label[inside], feature_name=list(names)),
            config.max_trees,
            valid_sets=[lgb.Dataset(features[outside], label[outside])],
            callbacks=[lgb.early_stopping(config.patience, verbose=False)],
        )
        num_trees.append(booster.best_iteration)
        told = booster.predict(
            features[outside], raw_score=True, num_iteration=booster.best_iteration
        )
        margin[outside] = np.asarray(told)
    slope, intercept = _platt(margin, label)
    final = lgb.train(
        _parameters(config, len(label)),
        lgb.Dataset(features, label, feature_name=list(names)),
        max(1, round(float(np.mean(num_trees)))),
    )
    return PropensityModel(
        names=tuple(names), trees=final.model_to_string(), slope=slope, intercept=intercept
    )


def _parameters(config: PropensityConfig, num_rows: int) -> dict[str, object]:
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "num_leaves": config.num_leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.least_in_leaf,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1 if num_rows < _FEW_ROWS else config.num_threads,
        "verbose": -1,
    }


def _folds_of_users(user: np.ndarray, config: PropensityConfig) -> np.ndarray:
    distinct, place = np.unique(user, return_inverse=True)
    order = np.random.default_rng(config.seed).permutation(len(distinct))
    return (order % config.num_folds)[place]


def _platt(margin: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of the label on the margin."""
    if np.ptp(margin) < 1e-9:
        return 0.0, _logit(label)
    fitted = LogisticRegression(C=1e6).fit(margin[:, None], label)
    slope = float(fitted.coef_[0, 0])
    # Trees that tell less than nothing of users they have not seen tell nothing.
    return (slope, float(fitted.intercept_[0])) if slope > 0 else (0.0, _logit(label))


def _logit(label: np.ndarray) -> float:
    share = label.mean()
    return float(np.log(share / (1 - share)))
