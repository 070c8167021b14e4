"""Fit everything and write a bundle; whether it goes live is for `publish` to say."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.store import Store
from jobs.code_version import code_version
from jobs.errors import NotDecidableError
from jobs.load_shop import load_shop
from recsys.bundle import write_bundle
from recsys.bundle_manifest import Manifest
from recsys.bundle_versions import BUNDLES
from recsys.cuts import positional_cuts
from recsys.errors import NotEnoughDataError
from recsys.fitting import Fitted, fit_and_test
from recsys.retrieval import RecommenderConfig, TowerTrainer

INPUT_TABLES = ("items", "events", "reviews", "review_signals", "item_texts")


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A written bundle and what was measured on the way.

    Attributes:
        folder: The bundle.
        manifest: What it says of itself.
        fitted: The fit behind it.
    """

    folder: Path
    manifest: Manifest
    fitted: Fitted


def train(
    store: Store,
    config: RecommenderConfig,
    trainer: TowerTrainer,
    *,
    version: str,
    as_of: datetime,
    now: datetime,
    progress: Callable[[str], None] = lambda step: None,
) -> TrainReport:
    """Fit on rows before `as_of` and write the bundle.

    Args:
        store: Where the tables are and the bundle goes.
        config: What decides the fit.
        trainer: Trains the two-towers.
        version: Model version of the review signals.
        as_of: Rows at or after this time are not used.
        now: Names the bundle and stands in its manifest.
        progress: Called with the name of each step.

    Raises:
        StoreError: If a table is missing.
        BadInputError: If reviews lack signals of this version.
        NotDecidableError: If there is too little data to fit or test anything.
    """
    shop = load_shop(store, version)
    try:
        cuts = positional_cuts(
            shop.events, shop.reviews, num_learned=config.label_positions, as_of=as_of
        )
        fitted = fit_and_test(shop, cuts, config, trainer, progress=progress)
    except NotEnoughDataError as error:
        raise NotDecidableError(str(error)) from error
    assert fitted.recommender is not None
    progress("write bundle")
    gain = None if fitted.sentiment is None else asdict(fitted.sentiment)
    folder = store.path(BUNDLES, now.strftime("%Y%m%dT%H%M%S%fZ"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    manifest = write_bundle(
        folder,
        fitted.recommender,
        created_at=now.isoformat(),
        metrics=fitted.metrics,
        data=data_versions(store, version)
        | {
            "as_of": as_of.isoformat(),
            "num_test_users": fitted.num_test_users,
            "comparison": asdict(fitted.comparison),
            "sentiment_gain": gain,
        },
        code=code_version(),
    )
    return TrainReport(folder=folder, manifest=manifest, fitted=fitted)


def data_versions(store: Store, version: str) -> dict[str, Any]:
    """Return the model version and the version of each input table."""
    tables = {name: store.version(name) for name in INPUT_TABLES}
    return {"model_version": version, "tables": tables}
