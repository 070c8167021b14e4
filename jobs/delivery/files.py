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

    def deliver(self, delivery: Delivery, on_stage: OnStage) -> Receipt:
        """See `Destination`."""
        files, root = self._open()
        folder = f"{root}/{delivery.segment}"
        parts = {"members": delivery.added}
        if delivery.operation == "update":
            parts = {"added": delivery.added, "removed": delivery.removed}
        told = []
        try:
            _make_folder(files, folder)
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
