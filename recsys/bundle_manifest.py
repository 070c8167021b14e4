"""What a bundle says of itself: hashes of its files, metrics, config, and what it was made from.

The manifest carries a digest of itself. `hash_bundle` hashes ahead of `verify_bundle`, maybe in
another process.
"""

import dataclasses
import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.bundle_hashes import NOTHING_KNOWN, HashedFiles, hash_files
from recsys.errors import BundleError

SCHEMA_VERSION = 6
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        version: Name of the bundle's folder.
        created_at: ISO 8601, UTC.
        metrics: Leave-one-out metrics by source, peer, `candidates` and `ranker`.
        data: Row counts, model version and table versions it was made from.
        code: Version and git hash of the code.
        config: The resolved `RecommenderConfig`.
        files: SHA-256 of every other file, by relative name.
        schema_version: Of the bundle's layout.
        digest: SHA-256 of all the above.
    """

    version: str
    created_at: str
    metrics: dict[str, dict[str, float]]
    data: dict[str, Any]
    code: dict[str, str]
    config: dict[str, Any]
    files: dict[str, str]
    schema_version: int = SCHEMA_VERSION
    digest: str = ""

    def computed_digest(self) -> str:
        """Return what `digest` should be."""
        # By way of JSON, so that what is written and what is read back are of one form.
        fields = json.loads(json.dumps(dataclasses.asdict(self) | {"digest": ""}))
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def sha256_of_files(folder: Path, hashed: HashedFiles = NOTHING_KNOWN) -> dict[str, str]:
    """Return the SHA-256 of every file of a bundle but the manifest, by relative name."""
    found = hash_files(folder, skipped=(MANIFEST,), known=hashed)
    return {name: file.sha256 for name, file in found.items()}


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest without touching its other files.

    Raises:
        BundleError: If there is none, it was altered, or it is of another schema version.
    """
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_text())
        schema_version = fields["schema_version"]
        if schema_version != SCHEMA_VERSION:
            raise BundleError(
                f"{path} has schema version {schema_version}, this code reads {SCHEMA_VERSION}: "
                "train and publish again"
            )
        manifest = Manifest(**fields)
    except FileNotFoundError as error:
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{path} is damaged: {error}") from error
    if manifest.digest != manifest.computed_digest():
        raise BundleError(f"{path} is damaged: it does not have the digest it says it has")
    return manifest


def verify_bundle(folder: Path, hashed: HashedFiles = NOTHING_KNOWN) -> Manifest:
    """Check every file against its hash.

    Args:
        folder: Of the bundle.
        hashed: What `hash_bundle` found before; files that are untouched since are not read.

    Raises:
        BundleError: Naming the first file that is missing, altered or unlisted.
    """
    manifest = read_manifest(folder)
    found = sha256_of_files(folder, hashed)
    for name, wanted in manifest.files.items():
        if name not in found:
            raise BundleError(f"bundle {manifest.version} lacks {name}")
        if found[name] != wanted:
            raise BundleError(
                f"bundle {manifest.version}: {name} has SHA-256 {found[name][:12]}…, the manifest "
                f"says {wanted[:12]}…: the file was altered or damaged"
            )
    extra = sorted(set(found) - set(manifest.files))
    if extra:
        raise BundleError(f"bundle {manifest.version} holds files its manifest does not: {extra}")
    return manifest


def hash_bundle(folder: Path, ended: threading.Event | None = None) -> HashedFiles:
    """Hash what `verify_bundle` compares with the manifest, ahead of it.

    Raises:
        OSError: If a file cannot be read.
        CancelledError: If `ended` was set.
    """
    return hash_files(folder, skipped=(MANIFEST,), ended=ended)
