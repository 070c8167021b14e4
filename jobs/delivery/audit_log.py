"""The log of what left the shop: lines of JSON, each bound to the one before it by a hash.

The hash of an entry is over its canonical JSON, which holds the hash of the entry before. A second
file, the head, tells how many entries there are and the hash of the last, so that lines cannot be
taken off the end. With a key (HMAC-SHA-256) nobody without it can write either, though an older
pair of both files, kept whole, can be put back; without a key (SHA-256) whoever may write both
files can write a log that fits. The hash of an entry is printed by the command that made it: kept
elsewhere, it shows both.
"""

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.errors import BadInputError, TamperedLogError
from jobs.whole_files import write_whole

NO_HASH = "0" * 64
_HEAD = ".head"
_LOCK = ".lock"


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """A log of one shop.

    Attributes:
        path: Of the file; the head and a lock file lie beside it.
        key: Secret of the hashes; None for plain ones.
    """

    path: Path
    key: bytes | None = field(default=None, repr=False)

    def append(self, entry: dict[str, Any]) -> str:
        """Add an entry, on the disk before this returns, and return its hash.

        Args:
            entry: JSON types; `entry` (from 1), `previous`, `hash` are added.

        Raises:
            TamperedLogError: The last entry or the head does not fit; `entries` checks all of them.
            BadInputError: The files cannot be written.
        """
        with self._locked():
            self._mend()
            count, previous = self._end()
            number = count + 1
            content = {**entry, "entry": number, "previous": previous}
            digest = self._hash(content)
            line = _canonical({**content, "hash": digest}) + "\n"
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            self._write_head(number, digest)
            return digest

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries, held against each other and the last against the head.

        Half a line at the end, which a kill left and nobody acknowledged, is none.

        Raises:
            TamperedLogError: An entry was changed, is missing, was added or moved; the message
                names the first line that does not fit.
        """
        with self._locked():
            return list(self._checked())

    def _mend(self) -> None:
        """End what a kill left half done: cut half a line off, write a head that is behind."""
        if self._head() is None and not self.path.exists():
            self._write_head(0, NO_HASH)
        self._cut_half_line()

    def _end(self) -> tuple[int, str]:
        """Return number and hash of the last entry, held against the head, which is kept up."""
        lines = self._lines()
        last = (
            self._parse(lines[-1], len(lines)) if lines else {"hash": NO_HASH, "previous": NO_HASH}
        )
        end = len(lines), last["hash"]
        self._check_head(*end, last["previous"])
        if lines and self._head() != end:
            self._write_head(*end)
        return end

    def _checked(self) -> Iterator[dict[str, Any]]:
        before, previous, number = NO_HASH, NO_HASH, 0
        for number, line in enumerate(self._lines(), start=1):
            entry = self._parse(line, number)
            if entry.get("entry") != number or entry.get("previous") != previous:
                raise self._changed(number, "it does not follow the line before it")
            before, previous = previous, entry["hash"]
            yield entry
        self._check_head(number, previous, before)

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(line)
            told = entry.pop("hash")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise self._changed(number, "it is no entry") from error
        if not hmac.compare_digest(str(told), self._hash(entry)):
            raise self._changed(number, "it is not what was written, or of another key")
        entry["hash"] = told
        if line != _canonical(entry).encode():
            raise self._changed(number, "it is not written as it was")
        return entry

    def _check_head(self, count: int, digest: str, previous: str) -> None:
        head = self._head()
        if head is None and count:
            raise TamperedLogError(f"{self.path}: the head {self._head_path.name} is missing")
        # A kill between line and head leaves a head that is one behind.
        if head is not None and head not in ((count, digest), (count - 1, previous)):
            raise TamperedLogError(
                f"{self.path} has {count:,} entries and the head tells of {head[0]:,}: lines were "
                "taken away or added at the end, or the head was changed"
            )

    def _lines(self) -> list[bytes]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadInputError(f"cannot read {self.path}: {error.strerror or error}") from error
        lines = content.split(b"\n")
        half = lines.pop()
        head = self._head()
        if half and (head is None or head[0] != len(lines)):
            raise self._changed(len(lines) + 1, "its end is missing")
        return lines

    def _cut_half_line(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())

    @property
    def _head_path(self) -> Path:
        return self.path.with_name(self.path.name + _HEAD)

    def _head(self) -> tuple[int, str] | None:
        try:
            content = json.loads(self._head_path.read_bytes())
            told = content.pop("check")
            head = content["count"], content["hash"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TamperedLogError(f"{self._head_path} cannot be read: {error}") from error
        if not hmac.compare_digest(str(told), self._hash(content)):
            raise TamperedLogError(f"{self._head_path} was changed, or is of another key")
        return head

    def _write_head(self, count: int, digest: str) -> None:
        content = {"count": count, "hash": digest}
        head = {**content, "check": self._hash(content)}
        write_whole(self._head_path, _canonical(head) + "\n")

    def _hash(self, content: dict[str, Any]) -> str:
        told = _canonical(content).encode()
        if self.key is None:
            return hashlib.sha256(told).hexdigest()
        return hmac.digest(self.key, told, "sha256").hex()

    def _changed(self, number: int, why: str) -> TamperedLogError:
        return TamperedLogError(f"{self.path}, line {number}: {why}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            held = self.path.with_name(self.path.name + _LOCK).open("w")
        except OSError as error:
            raise BadInputError(
                f"cannot write the audit log {self.path}: {error.strerror or error}"
            ) from error
        with held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
