"""Texts in files of any kind that the sentiment commands read; plain or gzip."""

import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from jobs.errors import BadInputError

_GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, through gzip where its first bytes say so.

    Raises:
        BadInputError: If it cannot be opened, or ends early.
    """
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if is_gzip else file  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInputError(f"{path} is a damaged gzip file: {error}") from error
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror or error}") from error


def read_table(path: Path, *, text_columns: Collection[str] = ()) -> pl.DataFrame:
    """Read CSV, JSON lines or Parquet, told from the name without `.gz`.

    Args:
        path: Of the file.
        text_columns: Columns of CSV files whose cells are kept as written, so that `007` is no 7;
            those that are not there are passed over.

    Raises:
        BadInputError: If the file is of no such kind or cannot be read.
    """
    as_written = dict.fromkeys(text_columns, pl.String)
    kinds = {
        ".csv": lambda data: pl.read_csv(data, schema_overrides=as_written),
        ".tsv": lambda data: pl.read_csv(data, separator="\t", schema_overrides=as_written),
        ".jsonl": pl.read_ndjson,
        ".ndjson": pl.read_ndjson,
        ".json": pl.read_ndjson,
        ".parquet": pl.read_parquet,
    }
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in kinds:
        raise BadInputError(
            f"{path}: cannot tell what {suffix or 'a file without an ending'} is; give one of "
            f"{', '.join(kinds)}, plain or .gz"
        )
    with opened(path) as file:
        content = file.read()
    if not content:
        raise BadInputError(f"{path} is empty")
    try:
        return kinds[suffix](io.BytesIO(content))
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read as {suffix}: {error}") from error


def text_lines(lines: Iterator[bytes], name: str) -> Iterator[dict[str, Any]]:
    """Yield one object with `text` for each line: JSON objects as they are, other lines as text.

    Whether lines are JSON is told by the first one that is not empty.

    Args:
        lines: Encoded in UTF-8.
        name: Of the source, for messages.

    Raises:
        BadInputError: If a line is not UTF-8, or one after a JSON object is none with a `text`.
    """
    is_json: bool | None = None
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise BadInputError(f"{name}, line {number} is not UTF-8: {error}") from error
        if is_json is None and text.strip():
            is_json = text.lstrip().startswith("{")
        if not is_json:
            yield {"text": text}
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadInputError(f"{name}, line {number} is no JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise BadInputError(
                f'{name}, line {number} is no object with a string "text": {text[:80]}'
            )
        yield row
