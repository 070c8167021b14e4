"""Records from Parquet files."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import DamagedFileError, InputError
from features.readers.batches import SOURCE_LINE, SOURCE_ROW, Records
from features.readers.byte_source import CHUNK_BYTES

MAGIC = b"PAR1"
_ROWS = 50_000


def parquet_columns(path: Path) -> list[str]:
    """Read the column names of a Parquet file.

    Args:
        path: The file.

    Returns:
        The names in their order.

    Raises:
        DamagedFileError: The file is no whole Parquet file.
    """
    try:
        return pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(f"{path} is no whole Parquet file: {error}") from error


def read_parquet(
    path: Path, fields: frozenset[str], on_bytes: Callable[[int], None]
) -> Iterator[Records]:
    """Read records as text, so that they meet the same contracts as those of text files.

    Args:
        path: The file.
        fields: The columns to keep.
        on_bytes: Called with an even share of the file's bytes for each batch.

    Yields:
        Batches; lists become JSON text, times ISO 8601 in UTC; `source_line` is the row, from 1.

    Raises:
        DamagedFileError: The file is damaged; the batches before have been yielded.
        InputError: A column is of a type that has no text.
    """
    try:
        with pq.ParquetFile(path) as file:
            kept = [name for name in file.schema_arrow.names if name in fields]
            # Telling what the file is has read a part of it already.
            size = max(path.stat().st_size - CHUNK_BYTES, 0)
            num_rows, start = max(file.metadata.num_rows, 1), 0
            for rows in file.iter_batches(batch_size=_ROWS, columns=kept):
                frame = pl.DataFrame(pa.Table.from_batches([rows]))
                texts = frame.select(_as_text(frame[name], path) for name in kept)
                numbers = pl.int_range(start, start + len(frame), dtype=pl.Int64, eager=True)
                start += len(frame)
                on_bytes(size * len(frame) // num_rows)
                numbered = texts.with_columns(
                    (numbers + 1).alias(SOURCE_LINE), numbers.alias(SOURCE_ROW)
                )
                yield Records(frame=numbered, problems=[])
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(f"{path} is a damaged Parquet file: {error}") from error


def _as_text(column: pl.Series, path: Path) -> pl.Series:
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC")
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    if isinstance(dtype, pl.List):
        texts = [
            None if row is None else json.dumps(row.to_list(), ensure_ascii=False, default=str)
            for row in column
        ]
        return pl.Series(column.name, texts, dtype=pl.String)
    try:
        text = column.cast(pl.String)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: column {column.name} is {dtype}, which has no text") from error
    return text.replace("", None)
