"""A real small bundle in a real store, built once a session."""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from published_shop import AS_OF, Published

from features.aspect_profiles import aspect_mentions, item_aspects
from features.histories import browse_history, browse_log, purchase_history
from features.item_needs import item_needs
from features.quotes import item_complaints, item_quotes
from features.satisfaction_index import satisfaction_index
from features.visibility import everything
from jobs.sample_shop import Shop, ShopConfig, generate_shop
from recsys.bundle_versions import promote
from recsys.cuts import positional_cuts
from recsys.fitting import Fitted, fit_and_test
from recsys.ranker_config import RankerConfig
from recsys.retrieval import RecommenderConfig
from recsys.tower_fitting import fit_each
from recsys.two_tower_config import TrainingConfig
from recsys.world import ShopTables
from sentiment.scorer import ReviewScorer, ScorerConfig


def _fit(shop: Shop, signals: pl.DataFrame) -> Fitted:
    tables = ShopTables(items=shop.items, events=shop.events, reviews=shop.reviews, signals=signals)
    config = RecommenderConfig(
        training=TrainingConfig(epochs=3), ranker=RankerConfig(num_trees=(30,))
    )
    cuts = positional_cuts(
        tables.events, tables.reviews, num_learned=config.label_positions, as_of=AS_OF
    )
    return fit_and_test(
        tables,
        cuts,
        config,
        fit_each,
    )


@pytest.fixture(scope="session")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Shared by everybody: never written to. Tests that change the store take `published`."""
    root = tmp_path_factory.mktemp("shop")
    shop = generate_shop(ShopConfig(num_items=100, num_users=250, num_reviews=900, num_events=7500))
    signals = ReviewScorer.load(ScorerConfig(max_tokens=64)).score_reviews(shop.reviews)
    visible = everything(shop.events, shop.reviews, as_of=AS_OF)
    fitted = _fit(shop, signals)
    assert fitted.world is not None
    felt, reviews = signals.lazy(), visible.reviews.lazy()
    tables = {
        "items": shop.items,
        "purchase_history": purchase_history(visible, felt),
        "browse_history": browse_history(browse_log(visible)),
        "user_profiles": fitted.world.user_profiles,
        "quotes": item_quotes(reviews, felt),
        "complaints": item_complaints(reviews, felt),
        "item_profiles": fitted.world.item_profiles,
        "item_aspects": item_aspects(aspect_mentions(visible, felt)),
        "item_needs": item_needs(reviews, felt),
        "item_satisfaction": satisfaction_index(shop.items.lazy(), visible, felt, by=["item_id"]),
    }
    published = Published(root=root, shop=shop, fitted=fitted, tables=tables, signals=signals)
    for name, frame in tables.items():
        published.store.overwrite(name, frame)
    published.bundles.mkdir()
    published.add_bundle("v1")
    promote(published.bundles, "v1")
    return published


@pytest.fixture
def published(published_once: Published, tmp_path: Path) -> Published:
    """A copy of its own, to change."""
    root = tmp_path / "shop"
    shutil.copytree(published_once.root, root, symlinks=True)
    return replace(published_once, root=root)
