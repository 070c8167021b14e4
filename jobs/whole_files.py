"""Result files that appear whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from jobs.errors import BadInputError

_PARTIAL = ".partial"


def check_folder(path: Path) -> None:
    """Say before any work that a file cannot be written since it has no folder.

    Raises:
        BadInputError: If the folder is not there, or the file is itself a folder.
    """
    if not path.parent.is_dir():
        raise BadInputError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise BadInputError(f"cannot write {path}: it is a folder")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text in UTF-8, under another name and then give it its own.

    A reader sees the old content or the new one, and a kill leaves the old one.

    Raises:
        BadInputError: If it cannot be written.
    """
    # A link stays one: what it points to is replaced.
    path = path.resolve()
    partial = path.with_name(f"{path.name}{_PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise BadInputError(f"cannot write {path}: {error.strerror or error}") from error
