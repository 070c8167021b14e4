"""Take new items into a bundle and old ones out of its lists, between trainings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from features.histories import purchase_history
from features.profiles import item_profiles, visible_state
from features.store import Store
from features.text_vectors import item_text_vectors
from features.visibility import everything
from jobs.code_version import code_version
from jobs.errors import BadInputError, GateRefusedError
from jobs.load_shop import load_shop
from jobs.publish_bundle import newest_bundle
from recsys.bundle import load_bundle, write_bundle
from recsys.bundle_manifest import Manifest
from recsys.bundle_update import NewItems, with_new_items, without_items
from recsys.bundle_versions import BUNDLES, bundle_folder, current_bundle
from recsys.errors import BundleError
from recsys.interactions import IdMap, Interactions
from recsys.recency import recent_popularity
from recsys.recommender import Recommender
from recsys.world import ShopTables


@dataclass(frozen=True, kw_only=True)
class UpdateReport:
    """A written bundle and how it differs from the one it was made of.

    Attributes:
        folder: The bundle.
        manifest: What it says of itself.
        made_of: Version that it was made of.
        added: Items that came.
        without_text: How many of them have no text that the model can read.
        removed: Items that are offered no more.
    """

    folder: Path
    manifest: Manifest
    made_of: str
    added: list[str]
    without_text: int
    removed: list[str]


def update_bundle(
    store: Store,
    version: str | None,
    remove: Sequence[str],
    *,
    as_of: datetime,
    now: datetime,
    progress: Callable[[str], None] = lambda step: None,
) -> UpdateReport:
    """Write a new bundle that holds the items of the store which an older one lacks.

    Metrics and the gate's comparison are those of the older one: models are the same.

    Args:
        store: Where tables and bundles are.
        version: Which bundle; None for the live one, or else the newest.
        remove: Items to be offered no more.
        as_of: Rows at or after this time are not used.
        now: Names the bundle and stands in its manifest.
        progress: Called with the name of each step.

    Raises:
        BadInputError: If there is no such bundle, it is damaged or cannot be extended, an item to
            remove is unknown, reviews lack signals of its model, or nothing would change.
        GateRefusedError: If the index with the new items in it finds too little.
    """
    bundles = store.path(BUNDLES)
    progress("read bundle")
    try:
        folder = (
            bundle_folder(bundles, version)
            if version
            else current_bundle(bundles) or newest_bundle(bundles)
        )
        if folder is None:
            raise BadInputError(f"{bundles} holds no bundle: run `sentirec train` first")
        recommender, manifest = load_bundle(folder)
    except BundleError as error:
        raise BadInputError(str(error)) from error
    shop = load_shop(store, manifest.data["model_version"])
    progress("place items")
    new = _new_items(recommender, shop, as_of)
    try:
        updated = recommender if new is None else with_new_items(recommender, new)
        removed = [item for item in dict.fromkeys(remove) if not _is_retired(updated, item)]
        updated = without_items(updated, removed) if removed else updated
    except BundleError as error:
        raise BadInputError(f"bundle {manifest.version}: {error}") from error
    except ValueError as error:
        raise GateRefusedError(f"bundle {manifest.version}: {error}") from error
    if updated is recommender:
        raise BadInputError(
            f"nothing to do: bundle {manifest.version} holds every item of the store"
            + (", and offers none of those to be removed" if remove else "")
        )
    progress("write bundle")
    added = [] if new is None else new.profiles["item_id"].to_list()
    target = bundles / now.strftime("%Y%m%dT%H%M%S%fZ")
    change = {"made_of": manifest.version, "num_added": len(added), "num_removed": len(removed)}
    written = write_bundle(
        target,
        updated,
        created_at=now.isoformat(),
        metrics=manifest.metrics,
        data=manifest.data
        | {
            "as_of": as_of.isoformat(),
            "trained_as_of": manifest.data.get("trained_as_of", manifest.data["as_of"]),
            "updates": [*manifest.data.get("updates", []), change],
        },
        code=code_version(),
    )
    return UpdateReport(
        folder=target,
        manifest=written,
        made_of=manifest.version,
        added=added,
        without_text=0 if new is None else int((~new.text.any(1)).sum()),
        removed=removed,
    )


def read_item_ids(path: Path) -> list[str]:
    """Read ids, one a line; empty lines are passed over.

    Raises:
        BadInputError: If the file cannot be read, or holds no id.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is no text in UTF-8: {error}") from error
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise BadInputError(f"{path} holds no item id: one a line is wanted")
    return ids


def _new_items(recommender: Recommender, shop: ShopTables, as_of: datetime) -> NewItems | None:
    """Return the items of the shop that the bundle lacks; None where it has all."""
    visible, signals = everything(shop.events, shop.reviews, as_of=as_of), shop.signals.lazy()
    lacked = shop.items.filter(pl.Series(recommender.items.index(shop.items["item_id"])) < 0)
    if lacked.is_empty():
        return None
    # Of all items, as what is said of few is shrunk towards what is said of the others.
    state = visible_state(shop.items.lazy(), visible, signals)
    profiles = item_profiles(shop.items.lazy(), state, visible.as_of).join(
        lacked.select("item_id"), on="item_id", how="semi", maintain_order="left"
    )
    ids = profiles["item_id"].to_list()
    texts = None if shop.item_texts is None else shop.item_texts.lazy()
    bought = purchase_history(visible, signals)
    users, items = IdMap.of(bought["user_id"]), IdMap.of(shop.items["item_id"])
    recent = recent_popularity(Interactions.from_frame(bought, users=users, items=items))
    return NewItems(
        profiles=profiles,
        text=item_text_vectors(ids, visible, signals, texts),
        recent=recent[items.index(ids)],
    )


def _is_retired(recommender: Recommender, item_id: str) -> bool:
    place = recommender.items.places.get(item_id, -1)
    return recommender.retired is not None and place >= 0 and bool(recommender.retired[place])
