"""Put a bundle live if it passes its gate; go back if it should not have."""

from pathlib import Path

from features.store import Store
from jobs.errors import BadInputError, GateRefusedError
from recsys.bundle_gate import check_gate
from recsys.bundle_manifest import Manifest, read_manifest
from recsys.bundle_versions import BUNDLES, current_bundle, promote, rollback
from recsys.errors import BundleError
from recsys.errors import GateRefusedError as RefusedError
from recsys.evaluation import Comparison


def publish(
    store: Store, version: str | None = None, *, tolerance: float, force: bool = False
) -> Manifest:
    """Check a bundle's gate and make it live.

    Args:
        store: Where the bundles are.
        version: Which bundle; None for the newest.
        tolerance: How much lower NDCG@10 may be than the live bundle's or the best source's, as a
            share of it.
        force: Promote even where the gate refuses (never where a hash is wrong).

    Raises:
        BadInputError: If there is no such bundle, or it is damaged.
        GateRefusedError: If the gate refuses; what is live stays live.
    """
    bundles = store.path(BUNDLES)
    folder = bundles / version if version else newest_bundle(bundles)
    if folder is None:
        raise BadInputError(f"{bundles} holds no bundle: run `sentirec train` first")
    try:
        manifest = read_manifest(folder)
        live = current_bundle(bundles)
        others = read_manifest(live).metrics if live and live.name != folder.name else None
        if not force:
            comparison = Comparison(**manifest.data["comparison"])
            check_gate(manifest.metrics, comparison, others, tolerance=tolerance)
        promote(bundles, folder.name)
    except RefusedError as error:
        raise GateRefusedError(str(error)) from error
    except BundleError as error:
        raise BadInputError(str(error)) from error
    return manifest


def roll_back(store: Store) -> str:
    """Make the version before the live one live again and return it.

    Raises:
        BadInputError: If there is none, or it is damaged.
    """
    try:
        return rollback(store.path(BUNDLES))
    except BundleError as error:
        raise BadInputError(str(error)) from error


def newest_bundle(bundles: Path) -> Path | None:
    """Return the newest whole bundle's folder, or None."""
    folders = sorted(
        path
        for path in bundles.glob("*")
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    )
    return folders[-1] if folders else None
