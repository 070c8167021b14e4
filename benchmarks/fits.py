"""The fit that benchmarks repeat: leave-one-out in this process, with a seed of its own."""

import dataclasses

from jobs.config import Config
from jobs.settings import recommender_config
from recsys.cuts import positional_cuts
from recsys.fitting import Fitted, fit_and_test
from recsys.tower_fitting import fit_towers
from recsys.world import ShopTables


def fit_with_seed(shop: ShopTables, seed: int) -> Fitted:
    """Fit and test under the default settings; `seed` is of the two-tower and the ranker."""
    config = recommender_config(Config())
    config = dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, seed=seed),
        ranker=dataclasses.replace(config.ranker, seed=seed),
    )
    cuts = positional_cuts(
        shop.events, shop.reviews, num_learned=config.label_positions, as_of=None
    )
    return fit_and_test(
        shop,
        cuts,
        config,
        lambda data, towers, training: [fit_towers(d, towers, training) for d in data],
    )
