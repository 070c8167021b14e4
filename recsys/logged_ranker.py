"""A ranker learned from what was shown and clicked, not fooled by where it was shown.

What stands on top is clicked because it is seen. The log knows each item's place, so trees and a
bias of each place are fitted together, and the bias is left out when items are ranked.
Source: LightGBM's documentation, "Support for Position Bias Treatment"; clicks by place: the
position-based model, Chuklin, Markov and de Rijke 2015.

Shape suffixes: N exposures, F features.
"""

import numpy as np

from recsys.errors import LogError
from recsys.lightgbm_alone import lgb
from recsys.ranker_config import RankerConfig

MIN_LISTS = 50


def fit_logged_ranker(
    features: np.ndarray,
    reward: np.ndarray,
    place: np.ndarray,
    slate: np.ndarray,
    *,
    names: list[str],
    config: RankerConfig,
    num_trees: int,
    bias_regularization: float | None = 0.0,
) -> lgb.Booster:
    """Fit LambdaMART to logged lists.

    Args:
        features: Of what was shown, as they were then, float32, shape (N, F).
        reward: Grade of what followed, 0 for nothing, at most the length of `config.gains`,
            shape (N,).
        place: Where each item stood, from 1, shape (N,).
        slate: The list of each exposure, any numbers, shape (N,).
        names: Of the features.
        config: How trees are grown; `monotone` holds here, too.
        num_trees: How many.
        bias_regularization: L2 penalty on the bias of places; None corrects nothing.

    Returns:
        Trees; their scores are of items, wherever these may be shown.

    Raises:
        LogError: If places are not from 1, or fewer than `MIN_LISTS` lists hold both something that
            was rewarded and something that was not: an order is learned from no others.
    """
    if len(place) and place.min() < 1:
        raise LogError(f"places count from 1, not {place.min()}")
    _, of_list = np.unique(slate, return_inverse=True)
    size = np.bincount(of_list)
    rewarded = np.bincount(of_list, reward > 0)
    tells = (rewarded > 0) & (rewarded < size)
    if tells.sum() < MIN_LISTS:
        raise LogError(
            f"{tells.sum()} lists tell rewarded items from others, wanted {MIN_LISTS}: log more"
        )
    rows = np.flatnonzero(tells[of_list])
    rows = rows[np.lexsort((place[rows], of_list[rows]))]
    data = lgb.Dataset(
        features[rows],
        reward[rows],
        group=size[tells],
        position=None if bias_regularization is None else place[rows],
        feature_name=[name.replace(":", "_") for name in names],
    )
    parameters = config.lambdarank(names, config.num_leaves)
    if bias_regularization is not None:
        parameters["lambdarank_position_bias_regularization"] = bias_regularization
    return lgb.train(parameters, data, num_trees)
