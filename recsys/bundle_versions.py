"""Which bundle is live: `current` is a link that one atomic rename switches.

`history` keeps the order of promotions, so a rollback is the same switch back.
"""

import os
from pathlib import Path

from recsys.bundle_manifest import verify_bundle
from recsys.errors import BundleError

BUNDLES = "bundles"
"""Their folder in a store."""
CURRENT = "current"
_HISTORY = "history"


def current_bundle(bundles: Path) -> Path | None:
    """Return the folder of the live bundle, or None where none was promoted yet."""
    link = bundles / CURRENT
    return link.resolve() if link.is_symlink() and link.exists() else None


def bundle_folder(bundles: Path, version: str) -> Path:
    """Return the folder of a version, which may not exist.

    Raises:
        BundleError: If it is no name of a version.
    """
    is_name = bool(version) and Path(version).name == version and version.isprintable()
    if not is_name or version.startswith(".") or version in (CURRENT, _HISTORY):
        raise BundleError(f"{version!r} is no bundle version")
    return bundles / version


def promote(bundles: Path, version: str) -> None:
    """Make a version live, after checking its hashes.

    Raises:
        BundleError: If the version is missing or damaged; the live bundle stays.
    """
    verify_bundle(bundle_folder(bundles, version))
    _append_history(bundles, version)
    _switch(bundles, version)


def rollback(bundles: Path) -> str:
    """Make the version that was live before the current one live again, and return it.

    Raises:
        BundleError: If there is no earlier version, or it is damaged.
    """
    version = earlier_version(bundles)
    verify_bundle(bundles / version)
    _switch(bundles, version)
    _write_history(bundles, read_history(bundles)[:-1])
    return version


def earlier_version(bundles: Path) -> str:
    """Return the version that was live before the current one.

    Raises:
        BundleError: If there is none.
    """
    history = read_history(bundles)
    if len(history) < 2:
        raise BundleError("there is no earlier bundle to roll back to")
    return history[-2]


def read_history(bundles: Path) -> list[str]:
    """Return promoted versions, oldest first; the last one is live."""
    path = bundles / _HISTORY
    return path.read_text().splitlines() if path.exists() else []


def _append_history(bundles: Path, version: str) -> None:
    history = read_history(bundles)
    if not history or history[-1] != version:
        _write_history(bundles, [*history, version])


def _write_history(bundles: Path, history: list[str]) -> None:
    staging = bundles / f".{_HISTORY}.{os.getpid()}"
    staging.write_text("".join(f"{version}\n" for version in history))
    staging.replace(bundles / _HISTORY)


def _switch(bundles: Path, version: str) -> None:
    staging = bundles / f".{CURRENT}.{os.getpid()}"
    staging.unlink(missing_ok=True)
    staging.symlink_to(version)
    staging.replace(bundles / CURRENT)
    handle = os.open(bundles, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
