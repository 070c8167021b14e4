"""A bundle answers as what it was made from, and is refused with any damage at all."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tiny_shop import AS_OF, CONFIG, FittedShop

from recsys.bundle import load_bundle, write_bundle
from recsys.bundle_manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Manifest,
    hash_bundle,
    read_manifest,
    verify_bundle,
)
from recsys.bundle_parts import read_config
from recsys.errors import BundleError
from recsys.query import Query
from recsys.recommender import Recommender

VERSION = "v1"


def recommender_of(shop: FittedShop) -> Recommender:
    assert shop.fitted.recommender is not None
    return shop.fitted.recommender


def write(folder: Path, shop: FittedShop) -> Manifest:
    return write_bundle(
        folder,
        recommender_of(shop),
        created_at=AS_OF.isoformat(),
        metrics=shop.fitted.metrics,
        data={"rows": {2: 3, 10: 4}},
        code={"version": "test"},
    )


@pytest.fixture(scope="module")
def written(shop: FittedShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / VERSION
    write(folder, shop)
    return folder


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / VERSION)


def test_a_loaded_bundle_answers_the_same(shop: FittedShop, written: Path) -> None:
    recommender = recommender_of(shop)
    loaded, manifest = load_bundle(written)
    assert loaded.config == recommender.config
    votes = loaded.config.candidates.weights
    assert set(votes) == {source.name for source in loaded.sources}
    assert replace(CONFIG, candidates=replace(CONFIG.candidates, weights=votes)) == loaded.config
    assert [source.name for source in loaded.sources] == [s.name for s in recommender.sources]
    assert loaded.items.ids.tolist() == recommender.items.ids.tolist()
    assert loaded.item_profiles.equals(recommender.item_profiles)
    assert loaded.towers.losses == recommender.towers.losses
    assert loaded.ranker.validation == recommender.ranker.validation
    assert manifest.metrics == shop.fitted.metrics

    allowed = np.arange(len(loaded.items)) % 4 != 0
    world = shop.fitted.world
    assert world is not None
    questions = [world.population.query(np.array([user])) for user in range(0, 80, 5)]
    questions += [Query.of_stranger(), world.population.query(np.array([3]), allowed)]
    for query in questions:
        ours, theirs = recommender.recommend(query, 7), loaded.recommend(query, 7)
        assert theirs.item_idx.tolist() == ours.item_idx.tolist()
        assert theirs.score.tolist() == ours.score.tolist()
        assert theirs.source == ours.source
        assert theirs.because.tolist() == ours.because.tolist()


def test_a_bundle_holds_what_it_lists_and_no_user(shop: FittedShop, written: Path) -> None:
    manifest = verify_bundle(written)
    assert manifest.version == VERSION
    assert manifest.schema_version == SCHEMA_VERSION
    held = {p.relative_to(written).as_posix() for p in written.rglob("*") if p.is_file()}
    assert held == {*manifest.files, MANIFEST}
    for name in held:
        assert b"u01" not in (written / name).read_bytes(), name


FILES = [
    MANIFEST,
    "query_tower.safetensors",
    "index.faiss",
    "ranker.txt",
    "ranker.json",
    "items.arrow",
    "sources.json",
    "arrays/item_vectors.npy",
    "arrays/item_to_item.data.npy",
    "arrays/popular_recent.popularity.npy",
]


def damage_first(data: bytes) -> bytes:
    return bytes([data[0] ^ 0xFF]) + data[1:]


def damage_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x01]) + data[middle + 1 :]


def damage_end(data: bytes) -> bytes:
    return data[:-5]


def nothing(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [damage_first, damage_middle, damage_end, nothing])
@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_refused_by_name(bundle: Path, name: str, damage) -> None:
    path = bundle / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError, match=path.name.replace(".", r"\.")):
        load_bundle(bundle)


def test_every_file_is_guarded(bundle: Path) -> None:
    for path in sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != MANIFEST):
        kept = path.read_bytes()
        path.write_bytes(damage_middle(kept))
        with pytest.raises(BundleError, match=path.name.replace(".", r"\.")):
            verify_bundle(bundle)
        path.unlink()
        with pytest.raises(BundleError, match=f"lacks .*{path.name}"):
            verify_bundle(bundle)
        path.write_bytes(kept)
    verify_bundle(bundle)


def test_what_was_hashed_ahead_is_refused_where_it_is_wrong(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.bundle_hashes._SETTLED_AFTER_S", 0)
    before = hash_bundle(bundle)
    load_bundle(bundle, before)
    damaged = bundle / "arrays" / "item_vectors.npy"
    damaged.write_bytes(damage_middle(damaged.read_bytes()))
    for hashed in (before, hash_bundle(bundle)):
        with pytest.raises(BundleError, match=r"item_vectors\.npy has SHA-256"):
            load_bundle(bundle, hashed)


@pytest.mark.parametrize("name", ["extra.bin", "arrays/extra.npy", ".hidden"])
def test_an_unlisted_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle)


@pytest.mark.parametrize("part", ["metrics", "data", "config", "created_at", "code"])
def test_a_manifest_that_says_something_else_is_refused(bundle: Path, part: str) -> None:
    path = bundle / MANIFEST
    fields = json.loads(path.read_text())
    fields[part] = "2020-01-01" if part == "created_at" else {}
    path.write_text(json.dumps(fields))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        read_manifest(bundle)


@pytest.mark.parametrize("text", ["", "[]", "7", "{}", '{"schema_version": 2}', "not JSON"])
def test_a_manifest_of_another_shape_is_refused(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text.replace("2", str(SCHEMA_VERSION)))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        load_bundle(bundle)


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1, None])
def test_another_schema_version_is_refused(bundle: Path, version: int | None) -> None:
    path = bundle / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": version}))
    with pytest.raises(BundleError, match=f"schema version {version}, this code reads"):
        load_bundle(bundle)


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path, make) -> None:
    make(tmp_path / "v9")
    with pytest.raises(BundleError, match=r"v9 is no bundle: it has no manifest\.json"):
        load_bundle(tmp_path / "v9")


def test_a_version_is_never_overwritten(shop: FittedShop, bundle: Path) -> None:
    with pytest.raises(BundleError, match="exists; versions are never overwritten"):
        write(bundle, shop)
    verify_bundle(bundle)


def test_an_interrupted_write_leaves_no_bundle_and_can_be_repeated(
    shop: FittedShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    for step in ("write_parts", "sha256_of_files", "_sync_tree"):
        with monkeypatch.context() as patch:
            patch.setattr(f"recsys.bundle.{step}", break_off)
            with pytest.raises(KeyboardInterrupt):
                write(tmp_path / VERSION, shop)
        assert not (tmp_path / VERSION).exists()
    write(tmp_path / VERSION, shop)
    verify_bundle(tmp_path / VERSION)
    assert [path.name for path in tmp_path.iterdir()] == [VERSION]


def test_a_config_survives_json() -> None:
    assert read_config(json.loads(json.dumps(asdict(CONFIG)))) == CONFIG


def test_arrays_that_do_not_fit_together_are_refused(shop: FittedShop, tmp_path: Path) -> None:
    recommender = recommender_of(shop)
    folder = tmp_path / "v1"
    write_bundle(
        folder,
        replace(recommender, text=recommender.text[:-1]),
        created_at=AS_OF.isoformat(),
        metrics={},
        data={},
        code={"version": "test"},
    )
    num_items = len(recommender.items)
    wrong = rf"{num_items} items, but \{{'text': {num_items - 1}\}}"
    with pytest.raises(BundleError, match=f"v1 cannot be loaded: {wrong}"):
        load_bundle(folder)
