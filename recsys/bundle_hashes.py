"""SHA-256 of a folder's files, which a second process need not compute again.

Hashing a bundle of a million items takes seconds. Who is given the hashes of another process takes
them over for files that nobody has touched since: of the same device, inode, size and times. The
time of the last change of the inode (ctime) cannot be set back by who writes to a file.
"""

import hashlib
import os
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

_BLOCK_BYTES = 1 << 20
# Times of files go by the kernel's ticks, and of some file systems by seconds: a file that was
# changed just now may change once more without its times telling.
_SETTLED_AFTER_S = 2.5


@dataclass(frozen=True, kw_only=True)
class HashedFile:
    """A file as it was hashed.

    Attributes:
        sha256: Of its content, hexadecimal.
        stamp: Device, inode, size in bytes, and nanoseconds of the last changes of content and of
            inode; None where they would not tell of another change.
    """

    sha256: str
    stamp: tuple[int, ...] | None


HashedFiles = Mapping[str, HashedFile]
"""Files by name relative to their folder, with `/` between parts."""
NOTHING_KNOWN: HashedFiles = MappingProxyType({})


def hash_files(
    folder: Path,
    *,
    skipped: Collection[str] = (),
    known: HashedFiles = NOTHING_KNOWN,
    ended: threading.Event | None = None,
) -> dict[str, HashedFile]:
    """Return the hash of every file of a folder, in the order of their names.

    Args:
        folder: Folders in it count, too.
        skipped: Names that are left out.
        known: What was hashed before; files that are untouched since are not read again.
        ended: Breaks off when it is set.

    Raises:
        OSError: If a file cannot be read.
        CancelledError: If `ended` was set.
    """
    paths = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    names = [name for name in paths if name not in skipped]
    with ThreadPoolExecutor() as threads:
        hashing = {
            name: threads.submit(hash_file, paths[name], known.get(name), ended)
            # The longest first, so that none is left alone at the end.
            for name in sorted(names, key=lambda name: -paths[name].stat().st_size)
        }
        return {name: hashing[name].result() for name in names}


def hash_file(
    path: Path, known: HashedFile | None = None, ended: threading.Event | None = None
) -> HashedFile:
    """Return the hash of one file; arguments and errors as of `hash_files`."""
    with path.open("rb", buffering=0) as file:
        # Taken before: what changes while it is read has another stamp afterwards.
        stamp = _stamp(os.fstat(file.fileno()))
        if known is not None and stamp is not None and known.stamp == stamp:
            return known
        digest, block = hashlib.sha256(), memoryview(bytearray(_BLOCK_BYTES))
        while num_bytes := file.readinto(block):
            if ended is not None and ended.is_set():
                raise CancelledError(f"{path} was not hashed to its end")
            digest.update(block[:num_bytes])
    return HashedFile(sha256=digest.hexdigest(), stamp=stamp)


def _stamp(of: os.stat_result) -> tuple[int, ...] | None:
    if time.time_ns() - max(of.st_mtime_ns, of.st_ctime_ns) < _SETTLED_AFTER_S * 1e9:
        return None
    return of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns
