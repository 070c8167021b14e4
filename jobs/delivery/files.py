"""Lists as files, in a folder or at an s3://, gs:// or other address that fsspec knows.

A delivery is `<segment>/<number>-members.<suffix>` of a replace, `-added` and `-removed` of an
update, and last of all `<number>-manifest.json`: a delivery without a manifest is not there yet.
In folders each file appears under its name only when it is whole and on the disk; object stores do
so by themselves.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import fsspec
import polars as pl
from fsspec.implementations.local import LocalFileSystem

from jobs.csv_cells import escape_formulas
from jobs.delivery.delivery import Delivery, OnStage, Receipt
from jobs.delivery.rows import ID, USER, Rows
from jobs.errors import BadInputError, DeliveryError, MissingPartError

FileFormat = Literal["csv", "parquet"]
_READ_AT_ONCE = 1 << 20
_MANIFEST, _DIGITS = "-manifest.json", 6
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "az"}


@dataclass(frozen=True, kw_only=True)
class FileDestination:
    """A folder of files.

    Attributes:
        folder: Path or address.
        format: Of the files.
        rows: What they tell.
        notes: Put into manifests: what whoever uploads the files has to know.
        least_matched: Platforms use no shorter list, which manifests then say; 0 for any.
    """

    folder: str
    format: FileFormat
    rows: Rows
    notes: dict[str, Any]
    least_matched: int = 0

    def check(self) -> None:
        """See `Destination`: the folder can be made and written to."""
        files, root = self._open()
        try:
            _make_folder(files, root)
            if isinstance(files, LocalFileSystem) and not os.access(root, os.W_OK):
                raise PermissionError(f"{root} cannot be written to")
        except OSError as error:
            raise BadInputError(f"cannot write to {self.folder}: {error}") from error

    def has(self, key: str, segment: str) -> bool | None:
        """See `Destination`: a delivery has arrived when its manifest is there."""
        files, root = self._open()
        try:
            return key in self._manifests(files, f"{root}/{segment}").values()
        except OSError as error:
            raise DeliveryError(f"cannot read {self.folder}: {error}") from error

    def deliver(self, delivery: Delivery, on_stage: OnStage) -> Receipt:
        """See `Destination`. Files of deliveries that never ended are taken away."""
        files, root = self._open()
        folder = f"{root}/{delivery.segment}"
        parts = {"members": delivery.added}
        if delivery.operation == "update":
            parts = {"added": delivery.added, "removed": delivery.removed}
        told = []
        try:
            _make_folder(files, folder)
            self._make_room(files, folder, delivery)
            for part, frame in parts.items():
                on_stage(f"write {part}")
                name = f"{delivery.number:06d}-{part}.{self.format}"
                digest, size = self._write(files, f"{folder}/{name}", frame)
                told.append({"name": name, "rows": len(frame), "bytes": size, "sha256": digest})
            on_stage("write manifest")
            manifest = {**delivery.facts(), "files": told, **self._notes(delivery)}
            content = json.dumps(manifest, indent=2).encode() + b"\n"
            name = f"{folder}/{delivery.number:06d}-manifest.json"
            with _whole(files, name) as file:
                file.write(content)
        except OSError as error:
            raise DeliveryError(f"cannot write to {self.folder}: {error}") from error
        return Receipt(
            place=f"{self.folder.rstrip('/')}/{delivery.segment}/{delivery.number:06d}-manifest.json",
            details={"manifest_sha256": hashlib.sha256(content).hexdigest()},
        )

    def _make_room(self, files: Any, folder: str, delivery: Delivery) -> None:
        """Take away files without a manifest.

        Raises:
            BadInputError: If later or other deliveries lie there.
        """
        manifests = self._manifests(files, folder)
        for number, key in manifests.items():
            if number >= delivery.number and key != delivery.key:
                raise BadInputError(
                    f"{self.folder}/{delivery.segment} holds delivery {number} of another "
                    "destination or of an older store: give this one a folder of its own"
                )
        for name in self._names(files, folder):
            number = _number(name)
            if number is not None and number not in manifests:
                files.rm(f"{folder}/{name}")

    def _manifests(self, files: Any, folder: str) -> dict[int, str]:
        """Return the key of each delivery that has a manifest."""
        found = {}
        for name in self._names(files, folder):
            number = _number(name)
            if number is not None and name.endswith(_MANIFEST):
                with files.open(f"{folder}/{name}", "rb") as file:
                    found[number] = str(json.loads(file.read()).get("key"))
        return found

    def _names(self, files: Any, folder: str) -> list[str]:
        files.invalidate_cache()
        if not files.exists(folder):
            return []
        return [str(path).rstrip("/").rpartition("/")[2] for path in files.ls(folder, detail=False)]

    def _notes(self, delivery: Delivery) -> dict[str, Any]:
        if delivery.size >= self.least_matched:
            return self.notes
        warning = f"the platform uses no list of fewer than {self.least_matched} people"
        return {**self.notes, "warning": warning}

    def _open(self) -> tuple[Any, str]:
        try:
            files, root = fsspec.core.url_to_fs(self.folder)
        except ImportError as error:
            raise MissingPartError(f"{self.folder}: {error}") from error
        except ValueError as error:
            raise BadInputError(f"{self.folder} is no folder and no address: {error}") from error
        return files, root.rstrip("/")

    def _write(self, files: Any, name: str, frame: pl.DataFrame) -> tuple[str, int]:
        """Write rows; return the SHA-256 of the file and its bytes."""
        told = frame.select(self.rows.told)
        if ID in told.columns:
            told = told.rename({ID: USER})
        with _whole(files, name) as file:
            if self.format == "parquet":
                told.write_parquet(file)
            else:
                texts = [column for column, dtype in told.schema.items() if dtype == pl.String]
                told.with_columns(escape_formulas(column) for column in texts).write_csv(file)
        digest, size = hashlib.sha256(), 0
        with files.open(name, "rb") as file:
            while piece := file.read(_READ_AT_ONCE):
                digest.update(piece)
                size += len(piece)
        return digest.hexdigest(), size


def _number(name: str) -> int | None:
    """Return the number of a delivery that a file is of; None for files of others."""
    number, dash, _ = name.partition("-")
    return int(number) if dash and len(number) == _DIGITS and number.isdecimal() else None


def _make_folder(files: Any, folder: str) -> None:
    """Make a folder, unless in an object store: it has none, and a bucket would be made instead."""
    protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
    if not protocols & _OBJECT_STORES:
        files.makedirs(folder, exist_ok=True)


@contextmanager
def _whole(files: Any, name: str) -> Iterator[Any]:
    """Open a file that appears under its name when the block ends well, and not at all else."""
    if not isinstance(files, LocalFileSystem):
        # Uploads become visible when they are closed, and are given up by `discard`.
        file = files.open(name, "wb")
        try:
            yield file
        except BaseException:
            with suppress(NotImplementedError, OSError, AttributeError):
                file.discard()
            raise
        file.close()
        return
    partial = f"{name}.partial"
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, name)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    folder = os.open(os.path.dirname(name), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
