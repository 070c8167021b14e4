import hashlib
from pathlib import Path

import pytest

from sentiment import encoder_files
from sentiment.encoder_files import DEFAULT_ENCODER, file_sha256, locate_encoder
from sentiment.errors import EncoderNotFoundError, WeightsError

FILES = ("config.json", "tokenizer.json", "model.safetensors")
WEIGHTS = b"not really weights"
WEIGHTS_HASH = hashlib.sha256(WEIGHTS).hexdigest()


def write_encoder(folder: Path, files: tuple[str, ...] = FILES) -> Path:
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_bytes(WEIGHTS)
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the import path that carries the encoder `pinned`; returns its model folder."""
    folder = write_encoder(tmp_path / "carries_an_encoder" / "model")
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    table = {
        "pinned": ("carries_an_encoder", "model", WEIGHTS_HASH),
        "absent": ("carries_no_encoder", "model", WEIGHTS_HASH),
    }
    monkeypatch.setattr(encoder_files, "_PACKAGES", table)
    return folder


def test_default_encoder_is_the_pinned_one() -> None:
    where, weights_id = locate_encoder()
    assert all((Path(where) / name).is_file() for name in FILES)
    assert weights_id == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert weights_id == file_sha256(Path(where) / "model.safetensors")


def test_a_folder_is_known_by_the_hash_of_its_weights(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder")
    assert locate_encoder(str(folder)) == (str(folder), WEIGHTS_HASH)


def test_a_hub_name_stands_for_itself() -> None:
    assert locate_encoder("owner/model") == ("owner/model", "owner/model")


@pytest.mark.parametrize("name", ["no-such-encoder", "/no/such/folder"])
def test_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(EncoderNotFoundError, match=f"{name}.*{DEFAULT_ENCODER}"):
        locate_encoder(name)


@pytest.mark.parametrize("missing", FILES)
def test_a_folder_that_lacks_a_file_is_refused(tmp_path: Path, missing: str) -> None:
    files = tuple(name for name in FILES if name != missing)
    folder = write_encoder(tmp_path / "encoder", files)
    with pytest.raises(EncoderNotFoundError, match=f"lacks {missing}$"):
        locate_encoder(str(folder))


def test_a_package_with_the_known_hash_is_taken(package: Path) -> None:
    assert locate_encoder("pinned") == (str(package), WEIGHTS_HASH)


def test_altered_weights_of_a_package_are_refused(package: Path) -> None:
    altered = WEIGHTS + b"!"
    (package / "model.safetensors").write_bytes(altered)
    found = hashlib.sha256(altered).hexdigest()
    with pytest.raises(WeightsError, match=f"SHA-256 {found}, wanted {WEIGHTS_HASH}"):
        locate_encoder("pinned")


def test_a_package_without_its_weights_is_refused(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        locate_encoder("pinned")


@pytest.mark.usefixtures("package")
def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(EncoderNotFoundError, match="carries-no-encoder, which is not installed"):
        locate_encoder("absent")
