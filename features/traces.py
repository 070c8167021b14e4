"""Where ids lie in a folder: a search that decodes what it searches.

Parquet and Arrow files are read, whatever their compression, with the statistics in their footers;
gzip is unpacked; SQLite files are read value by value, and their bytes are held against those of a
copy without free pages; everything else is searched as bytes. Where values can be told apart
(columns of tables, values of JSON) an id has to be the whole of one; in bytes it must not be part
of a longer word.
"""

import gzip
import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.tombstones import texts_in

_SQLITE = b"SQLite format 3\x00"
_ARROW = b"ARROW1"
_PARQUET = b"PAR1"
_GZIP = b"\x1f\x8b"
# Arrays of numbers and weights: an id in them would be chance.
_NUMERIC = (".npy", ".safetensors", ".faiss")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A file that holds one of the ids.

    Attributes:
        file: Relative to the folder.
        places: How many values, or places in the bytes.
    """

    file: str
    places: int


def find_traces(folder: Path, ids: Iterable[str]) -> list[Trace]:
    """Search every file below a folder for any of some ids.

    Args:
        folder: Where to search.
        ids: What for.

    Returns:
        The files that hold any, sorted.
    """
    wanted = {name for name in ids if name}
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.suffix not in _NUMERIC and wanted:
            places = _places(file, wanted)
            if places:
                found.append(Trace(file=str(file.relative_to(folder)), places=places))
    return found


def _places(file: Path, wanted: set[str]) -> int:
    content = file.read_bytes()
    if content.startswith(_PARQUET):
        return sum(value in wanted for value in _parquet_values(file))
    if content.startswith(_ARROW):
        with pa.OSFile(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
        return sum(value in wanted for value in _table_values(table))
    if content.startswith(_GZIP):
        content = gzip.decompress(content)
    if content.startswith(_SQLITE):
        return _in_sqlite(file, wanted)
    if file.name.endswith(("-wal", "-shm")) and file.with_name(file.name[:-4]).exists():
        # Read with the database; what is deleted there is not left in it, see `SqliteEventLog`.
        return 0
    return _in_text(content, wanted)


def _in_sqlite(file: Path, wanted: set[str]) -> int:
    """Count values in which an id is whole, and places that only free pages can hold."""
    with closing(sqlite3.connect(file)) as database, tempfile.TemporaryDirectory() as folder:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        values = (
            text
            for (table,) in tables
            for row in database.execute(f'SELECT * FROM "{table}"')
            for value in row
            for text in _texts(value)
        )
        found = sum(value in wanted for value in values)
        copy = Path(folder, "copy.db")
        database.execute("VACUUM INTO ?", (str(copy),))
        whole, living = file.read_bytes(), copy.read_bytes()
    names = [name.encode() for name in wanted]
    return found + sum(max(0, whole.count(name) - living.count(name)) for name in names)


def _in_text(content: bytes, wanted: set[str]) -> int:
    spellings = {form for name in wanted for form in (name, json.dumps(name)[1:-1])}
    spellings |= {json.dumps(name, ensure_ascii=False)[1:-1] for name in wanted}
    alternatives = b"|".join(re.escape(form.encode()) for form in sorted(spellings, reverse=True))
    return len(re.findall(rb"(?<![\w-])(?:" + alternatives + rb")(?![\w-])", content))


def _parquet_values(file: Path) -> Iterator[str]:
    parquet = pq.ParquetFile(file)
    for group in range(parquet.num_row_groups):
        yield from _table_values(parquet.read_row_group(group))
        for column in range(parquet.metadata.num_columns):
            statistics = parquet.metadata.row_group(group).column(column).statistics
            if statistics is not None and statistics.has_min_max:
                yield from (v for v in (statistics.min, statistics.max) if isinstance(v, str))


def _table_values(table: pa.Table) -> Iterator[str]:
    for name in table.column_names:
        column = table.column(name)
        if _holds_text(column.type):
            for value in column.to_pylist():
                yield from _texts(value)


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_holds_text(kind.field(place).type) for place in range(kind.num_fields))
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
    )


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value: itself, what it holds, and what is written in it as JSON."""
    if isinstance(value, str):
        yield value
        if value[:1] in "{[":
            yield from texts_in(value)
    elif isinstance(value, bytes):
        yield from _texts(value.decode("utf-8", "replace"))
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
