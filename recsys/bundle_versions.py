"""Which bundle is live: `current` is a link that one atomic rename switches.

`history` keeps the order of promotions, so a rollback is the same switch back.
"""

import os
from pathlib import Path

from recsys.bundle_manifest import verify_bundle
from recsys.errors import BundleError, GateRefusedError
from recsys.evaluation import Comparison

CURRENT = "current"
_HISTORY = "history"
GATE_METRIC = "ndcg@10"
ONE_SIDED_5_PERCENT = 1.645


def current_bundle(bundles: Path) -> Path | None:
    """Return the folder of the live bundle, or None where none was promoted yet."""
    link = bundles / CURRENT
    return link.resolve() if link.is_symlink() and link.exists() else None


def check_gate(
    metrics: dict[str, dict[str, float]],
    comparison: Comparison,
    live: dict[str, dict[str, float]] | None,
    *,
    tolerance: float,
) -> None:
    """Refuse a bundle whose ranker is worse than its own best source, or than the live bundle.

    Against the source the test is paired and one-sided at 5%: on a few hundred users NDCG@10 moves
    by a tenth from noise alone, and refusing for that would leave a small shop with nothing.

    Args:
        metrics: The new bundle's metrics by source.
        comparison: Its ranker against its own best source on the same users.
        live: Metrics of the live bundle, or None.
        tolerance: How much lower NDCG@10 may be, as a share of what it is compared with.

    Raises:
        GateRefusedError: Saying which comparison failed, with both numbers.
    """
    ranker = metrics["ranker"][GATE_METRIC]
    best = metrics[comparison.best_source][GATE_METRIC]
    at_most = comparison.difference + ONE_SIDED_5_PERCENT * comparison.standard_error
    # Written so that a metric that is not a number refuses too.
    if not at_most >= -tolerance * best:
        raise GateRefusedError(
            f"the ranker's {GATE_METRIC} is {ranker:.4f}, below its own source "
            f"{comparison.best_source} at {best:.4f}, beyond noise (standard error "
            f"{comparison.standard_error:.4f}): the bundle is kept and not promoted"
        )
    if live is not None and not ranker >= live["ranker"][GATE_METRIC] * (1.0 - tolerance):
        raise GateRefusedError(
            f"the ranker's {GATE_METRIC} is {ranker:.4f}, the live bundle's is "
            f"{live['ranker'][GATE_METRIC]:.4f}: the bundle is kept and not promoted"
        )


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
