"""The two-tower space of a store's live bundle, for segments that ask who is near to whom."""

import dataclasses
from datetime import datetime

import numpy as np
import polars as pl

from features.store import Store
from features.training_frames import LABEL_TIME
from jobs.load_shop import load_shop
from recsys.bundle import load_bundle
from recsys.bundle_versions import BUNDLES, current_bundle
from recsys.category_satisfaction import fit_category_satisfaction
from recsys.errors import NotEnoughDataError, SegmentError
from recsys.segments.tables import SegmentTables
from recsys.segments.tower_space import TowerSpace

_ASKED = "a condition of the two-tower space"


def tower_space(store: Store, tables: SegmentTables, *, version: str | None) -> TowerSpace:
    """Open the live bundle of a store, with all users as of the moment of some tables.

    Args:
        store: Where the bundle is.
        tables: As of a moment; of them histories are read.
        version: Model version of the signals.

    Raises:
        SegmentError: No bundle is live, it or histories were made later than the moment, or there
            are no histories.
        BundleError: The bundle is damaged.
    """
    folder = current_bundle(store.path(BUNDLES))
    if folder is None:
        raise SegmentError(
            f"{_ASKED} needs a live bundle: run `sentirec train` and `sentirec publish` first"
        )
    recommender, manifest = load_bundle(folder)
    made = datetime.fromisoformat(manifest.data["as_of"])
    if made > tables.as_of:
        raise SegmentError(
            f"{_ASKED} needs a bundle of before {tables.as_of.isoformat()}; the live one, "
            f"{manifest.version}, was made of what came before {made.isoformat()}"
        )
    purchases, browsing = (
        tables.read(name, _ASKED).filter(pl.col("event_time") < tables.as_of).collect()
        for name in ("purchase_history", "browse_history")
    )

    def satisfaction(category: str, users: pl.Series) -> np.ndarray:
        return _satisfaction(store, tables.as_of, version, category, users)

    return TowerSpace.of(recommender, purchases, browsing, satisfaction)


def _satisfaction(
    store: Store, as_of: datetime, version: str | None, category: str, users: pl.Series
) -> np.ndarray:
    """Predict satisfaction with a category, learned from what was told before a moment."""
    shop = load_shop(store, version or "")
    seen = pl.col("event_time") < as_of
    known = dataclasses.replace(
        shop, events=shop.events.filter(seen), reviews=shop.reviews.filter(seen)
    )
    asked = users.to_frame().with_columns(category=pl.lit(category), **{LABEL_TIME: pl.lit(as_of)})
    try:
        return fit_category_satisfaction(known, now=as_of).predict(asked, known)
    except NotEnoughDataError as error:
        raise SegmentError(f"how users will like an item cannot be told: {error}") from error
