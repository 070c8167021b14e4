"""The key that signs the tokens of pages: one for all servers of a store."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from serving.errors import ServingError

FILE = "page_key"
_KEY_BYTES = 32


def page_key(folder: Path) -> bytes:
    """Return the key of a store, made where there is none; only its owner can read it.

    Raises:
        ServingError: If it cannot be read or made.
    """
    path = folder / FILE
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise ServingError(f"cannot use the key in {path}: {error.strerror or error}") from error
    if len(key) != _KEY_BYTES:
        raise ServingError(f"{path} has {len(key)} bytes, not {_KEY_BYTES}: remove it")
    return key


def _make(path: Path) -> None:
    staging = path.with_name(f".{FILE}.{os.getpid()}")
    with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    # Does nothing where another server was first.
    with suppress(FileExistsError):
        os.link(staging, path)
    staging.unlink()
