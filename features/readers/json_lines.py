"""Records from JSON lines."""

import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from features.errors import DamagedFileError
from features.readers.batches import SOURCE_LINE, SOURCE_ROW, RecordBuffer, Records
from features.readers.byte_source import LINE_BYTES_MAX, ByteSource


def read_json_lines(
    source: ByteSource, fields: frozenset[str], always: frozenset[str]
) -> Iterator[Records]:
    """Read JSON objects, one a line.

    Args:
        source: The open file.
        fields: The keys to keep; a column appears in a batch where one of its objects has the key.
        always: Those of `fields` that get a column in any case.

    Yields:
        Batches; numbers and truth values become text, lists and objects JSON text.

    Raises:
        DamagedFileError: The file is damaged; all whole lines before have been yielded.
    """
    columns = sorted(fields)
    buffer = RecordBuffer()
    present = set(always)
    damage: DamagedFileError | None = None
    lines = enumerate(source.lines(), start=1)
    while True:
        try:
            number, line = next(lines)
        except StopIteration:
            break
        except DamagedFileError as error:
            damage = error
            break
        if not line.strip():
            continue
        record = parse_json_record(line)
        if isinstance(record, str):
            buffer.refuse(number, record, line)
        else:
            present |= fields.intersection(record)
            buffer.add([_as_text(record.get(name)) for name in columns], number, len(line))
        if buffer.is_full:
            yield from _present_only(buffer.flush(columns), present)
            present = set(always)
    yield from _present_only(buffer.flush(columns), present)
    if damage is not None:
        raise damage


def parse_json_record(line: bytes) -> dict[str, Any] | str:
    """Parse one line.

    Args:
        line: The bytes of the line.

    Returns:
        The object, or the name of the rule that the line breaks.
    """
    if len(line) > LINE_BYTES_MAX:
        return "line_is_too_long"
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "invalid_utf8"
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return "malformed_json"
    if not isinstance(record, dict):
        return "not_a_json_object"
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "invalid_unicode"
    return record


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _present_only(batches: Iterator[Records], present: set[str]) -> Iterator[Records]:
    kept = [*sorted(present), SOURCE_LINE, SOURCE_ROW]
    for batch in batches:
        yield Records(frame=batch.frame.select(pl.col(kept)), problems=batch.problems)
