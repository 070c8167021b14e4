"""From an open file to batches of raw rows."""

from collections.abc import Callable, Iterator

from features.readers.batches import Batch, Records
from features.readers.byte_source import ByteSource
from features.readers.delimited import read_delimited
from features.readers.detect import Detected
from features.readers.json_lines import read_json_lines
from features.readers.parquet import read_parquet


def read_batches(
    source: ByteSource,
    detected: Detected,
    on_bytes: Callable[[int], None] = lambda _count: None,
) -> Iterator[Batch]:
    """Read a file to its end in memory that does not grow with it.

    Args:
        source: The open file.
        detected: What it is.
        on_bytes: Progress of a Parquet file; the others report through `source`.

    Yields:
        Batches of at most 100,000 records and about 32 MiB of source bytes.

    Raises:
        DamagedFileError: The file is damaged; everything before the damage has been yielded.
    """
    for records in _records(source, detected, on_bytes):
        yield Batch(records=records, tables=detected.format.to_tables(records.frame))


def _records(
    source: ByteSource, detected: Detected, on_bytes: Callable[[int], None]
) -> Iterator[Records]:
    known = detected.format
    match detected.container:
        case "parquet":
            return read_parquet(source.path, known.fields, on_bytes)
        case "json":
            always = frozenset(name for names in known.wanted for name in names)
            return read_json_lines(source, known.fields, always)
        case "csv":
            return read_delimited(
                source, detected.columns, detected.delimiter, has_header=detected.has_header
            )
