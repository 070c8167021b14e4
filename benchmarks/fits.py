"""What benchmarks repeat: a scored shop, and a leave-one-out fit with a seed of its own."""

import dataclasses
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from features.store import Store
from jobs.config import Config
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from jobs.score_reviews import score
from jobs.settings import recommender_config, score_config
from recsys.cuts import positional_cuts
from recsys.fitting import Fitted, fit_and_test
from recsys.tower_fitting import fit_each
from recsys.world import ShopTables


def scored_files(files: Sequence[Path]) -> ShopTables:
    """Ingest and score files; wants a Ray session."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        report = ingest(store, list(files), now=datetime.now(UTC))
        assert not report.errors, report.errors
        scored = score(store, score_config(Config()))
        return load_shop(store, scored.model_version)


def scored_store(path: str) -> ShopTables:
    """Read a store that was ingested and scored before."""
    store = Store(path)
    version = store.scan("review_signals").select("model_version").head(1).collect().item()
    return load_shop(store, version)


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
        fit_each,
    )
