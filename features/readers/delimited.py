"""Records from CSV: quoted line breaks, and recovery after a line that breaks the form."""

import csv
from collections import deque
from collections.abc import Iterator

from features.errors import DamagedFileError, InputError
from features.readers.batches import RecordBuffer, Records
from features.readers.byte_source import LINE_BYTES_MAX, ByteSource

_BOM = b"\xef\xbb\xbf"
_RECORD_LINES_MAX = 2_000
_DELIMITERS = (",", "\t", ";")


def sniff_header(head: bytes) -> tuple[list[str], str]:
    """Read the names in the first line of a CSV.

    Args:
        head: The beginning of the file.

    Returns:
        The names, and the delimiter: of comma, tab and semicolon the most frequent.

    Raises:
        InputError: The first line is no text, or a name occurs twice.
    """
    line = head.removeprefix(_BOM).split(b"\n", 1)[0]
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InputError("the first line is not UTF-8 text") from error
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        names = next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error as error:
        raise InputError(f"the first line is no CSV header: {error}") from error
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice:
        raise InputError(f"the header names these columns more than once: {', '.join(twice)}")
    return names, delimiter


def read_delimited(
    source: ByteSource, columns: list[str], delimiter: str, *, has_header: bool
) -> Iterator[Records]:
    """Read CSV records.

    A record that breaks the form is refused by its first line only and reading goes on at the
    line after it, so that a stray quote costs one row and not the rest of the file.

    Args:
        source: The open file.
        columns: The names of its columns.
        delimiter: Between fields.
        has_header: Whether the first line is names rather than data.

    Yields:
        Batches.

    Raises:
        DamagedFileError: The file is damaged; all whole records before have been yielded.
    """
    feed = _LineFeed(source)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    buffer = RecordBuffer()
    if has_header:
        feed.begin_record()
        next(feed, None)
    while True:
        feed.begin_record()
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error:
            if feed.damage is not None:
                break
            buffer.refuse(*feed.refuse_first("malformed_csv"))
        else:
            if not fields:
                continue
            if len(fields) != len(columns):
                buffer.refuse(*feed.refuse_first("wrong_number_of_fields"))
            elif feed.is_invalid:
                buffer.refuse(feed.taken[0][0], "invalid_utf8", feed.content)
            else:
                row = [value or None for value in fields]
                buffer.add(row, feed.taken[0][0], feed.num_bytes)
        if buffer.is_full:
            yield from buffer.flush(columns)
    yield from buffer.flush(columns)
    if feed.damage is not None:
        raise feed.damage


class _LineFeed:
    """Hands physical lines to the csv module and remembers those of the current record."""

    def __init__(self, source: ByteSource) -> None:
        self._lines = enumerate(source.lines(), start=1)
        self._pushed_back: deque[tuple[int, bytes]] = deque()
        self.taken: list[tuple[int, bytes]] = []
        self.num_bytes = 0
        self.is_invalid = False
        self.damage: DamagedFileError | None = None

    def __iter__(self) -> "_LineFeed":
        return self

    def __next__(self) -> str:
        # An end in the middle of a record makes the csv module refuse the record.
        if len(self.taken) >= _RECORD_LINES_MAX or self.num_bytes > LINE_BYTES_MAX:
            raise StopIteration
        number, line = self._next_line()
        if number == 1:
            line = line.removeprefix(_BOM)
        self.taken.append((number, line))
        self.num_bytes += len(line)
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self.is_invalid = True
            text = line.decode("utf-8", "replace")
        return text + "\n"

    @property
    def content(self) -> bytes:
        """The bytes of the current record."""
        return b"\n".join(line for _, line in self.taken)

    def begin_record(self) -> None:
        """Forget the lines of the record before."""
        self.taken = []
        self.num_bytes = 0
        self.is_invalid = False

    def refuse_first(self, rule: str) -> tuple[int, str, bytes]:
        """Give up the first line of the current record and read the others again."""
        number, line = self.taken[0]
        self._pushed_back.extendleft(reversed(self.taken[1:]))
        if self._is_not_utf8(line):
            rule = "invalid_utf8"
        return number, rule, line

    @staticmethod
    def _is_not_utf8(line: bytes) -> bool:
        try:
            line.decode()
        except UnicodeDecodeError:
            return True
        return False

    def _next_line(self) -> tuple[int, bytes]:
        if self._pushed_back:
            return self._pushed_back.popleft()
        if self.damage is not None:
            raise StopIteration
        try:
            return next(self._lines)
        except DamagedFileError as damage:
            self.damage = damage
            raise StopIteration from None
