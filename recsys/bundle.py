"""A bundle: one version of everything that answers, as a folder with hashes.

    manifest.json                 schema version, hashes of files, metrics, config, data versions
    ...                           the recommender, as `recsys.bundle_parts` lays it out

Hashes are checked before anything is parsed; the manifest carries one of itself. A bundle is
written under a temporary name, synced and renamed, so a folder with a version's name is always
whole.
"""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle_hashes import NOTHING_KNOWN, HashedFiles, hash_file
from recsys.bundle_manifest import (
    MANIFEST,
    Manifest,
    read_manifest,
    sha256_of_files,
    verify_bundle,
)
from recsys.bundle_parts import read_config, read_parts, write_parts
from recsys.errors import BundleError
from recsys.lightgbm_alone import lgb
from recsys.recommender import Recommender


def write_bundle(
    folder: Path,
    recommender: Recommender,
    *,
    created_at: str,
    metrics: dict[str, dict[str, float]],
    data: dict[str, Any],
    code: dict[str, str],
) -> Manifest:
    """Write a bundle as `folder`, whose name is the version.

    Raises:
        BundleError: If the folder exists.
    """
    if folder.exists():
        raise BundleError(f"bundle {folder} exists; versions are never overwritten")
    staging = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    write_parts(staging, recommender)
    manifest = Manifest(
        version=folder.name,
        created_at=created_at,
        metrics=metrics,
        data=data,
        code=code,
        config=dataclasses.asdict(recommender.config),
        files=sha256_of_files(staging),
    )
    manifest = dataclasses.replace(manifest, digest=manifest.computed_digest())
    text = json.dumps(dataclasses.asdict(manifest), indent=2, sort_keys=True)
    (staging / MANIFEST).write_text(text + "\n")
    _sync_tree(staging)
    staging.rename(folder)
    _sync(folder.parent)
    return manifest


def load_bundle(folder: Path, hashed: HashedFiles = NOTHING_KNOWN) -> tuple[Recommender, Manifest]:
    """Verify and load a bundle; large arrays are memory-mapped.

    Args:
        folder: Of the bundle.
        hashed: What `hash_bundle` found before.

    Raises:
        BundleError: If anything is missing, altered or unreadable.
    """
    manifest = verify_bundle(folder, hashed)
    try:
        return read_parts(folder, read_config(manifest.config)), manifest
    except (OSError, KeyError, ValueError, lgb.basic.LightGBMError) as error:
        raise BundleError(f"bundle {manifest.version} cannot be loaded: {error}") from error


def load_item_vectors(folder: Path) -> tuple[np.ndarray, str]:
    """Verify and map the item tower's output alone, and return it with the bundle's version.

    Raises:
        BundleError: If the manifest or the vectors are missing, altered or unreadable.
    """
    manifest, name = read_manifest(folder), "arrays/item_vectors.npy"
    path = folder / name
    try:
        if hash_file(path).sha256 != manifest.files.get(name):
            raise BundleError(f"bundle {manifest.version}: {name} was altered or damaged")
        return np.load(path, mmap_mode="r", allow_pickle=False), manifest.version
    except (OSError, ValueError) as error:
        raise BundleError(f"bundle {manifest.version} cannot be loaded: {error}") from error


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
