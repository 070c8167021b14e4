"""What passes from a file to the contracts: records as text, problems, and rows of tables."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import polars as pl

SOURCE_LINE = "source_line"
SOURCE_ROW = "source_row"
SEQ = "seq"
ROW_AS_SEQ = pl.col(SOURCE_ROW).alias(SEQ)
BROKEN_RULE = "broken_rule"
BATCH_ROWS = 100_000
BATCH_BYTES = 32 * 1024 * 1024
_SHOWN_CHARACTERS = 4096


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A line that is no record at all.

    Args:
        line: Its number in the file, from 1.
        rule: The rule that it broke.
        row: What it says, as JSON text.
    """

    line: int
    rule: str
    row: str


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records of a source file as they stand there, before anything is understood.

    Args:
        frame: String columns under their source names, null where empty, with `source_line`
            (from 1; a record's first line) and `source_row` (number of the data row, from 0).
        problems: The lines between them that are no records.
    """

    frame: pl.DataFrame
    problems: list[Problem]


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """Raw rows of one table.

    Args:
        frame: Columns named as in the contract, mostly still text; `source_line`; and, where a
            reader refuses rows by a rule of its own, `broken_rule` (null where it does not).
        is_stub: The rows are by-products that know little about many times the same thing: they
            are to be gathered by key, and fill gaps, never overwrite.
    """

    frame: pl.DataFrame
    is_stub: bool = False


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A bounded part of a source file.

    Args:
        records: The part as it stands in the file.
        tables: The rows that it yields by table. The first table holds the records themselves;
            what is derived from a record that its contract refuses is refused with it.
    """

    records: Records
    tables: dict[str, TableRows]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How one family of files is recognised and understood.

    Args:
        name: What `--format` takes.
        title: One line for people.
        wanted: For each thing that must be there, the names that its column may have.
        also_read: Further columns that are used where they are there.
        to_tables: Turns `Records.frame` into rows; pure.
        recognises: Tells from the column names whether a file is of this family.
        headerless: Column names of a CSV that is published without a header.
        recognises_row: Tells from the fields of the first line whether it is such a CSV.
    """

    name: str
    title: str
    wanted: tuple[tuple[str, ...], ...]
    to_tables: Callable[[pl.DataFrame], dict[str, TableRows]]
    also_read: tuple[str, ...] = ()
    recognises: Callable[[frozenset[str]], bool] | None = None
    headerless: tuple[str, ...] = ()
    recognises_row: Callable[[list[str]], bool] | None = None

    @property
    def fields(self) -> frozenset[str]:
        """Every column name that is used."""
        return frozenset(self.also_read).union(*self.wanted)

    def missing(self, columns: frozenset[str]) -> list[str]:
        """Name what is wanted and absent.

        Args:
            columns: The columns of a file.

        Returns:
            One text for each missing thing, alternatives joined by `or`.
        """
        return [" or ".join(names) for names in self.wanted if not columns.intersection(names)]

    def fits(self, columns: frozenset[str]) -> bool:
        """Tell whether a file with these columns is of this family.

        Args:
            columns: The columns of a file.

        Returns:
            The answer of `recognises`, or whether nothing is missing.
        """
        return self.recognises(columns) if self.recognises else not self.missing(columns)


@dataclass
class RecordBuffer:
    """Collects records until a batch is full."""

    rows: list[list[str | None]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    num_bytes: int = 0
    next_row: int = 0

    def add(self, row: list[str | None], line: int, num_bytes: int) -> None:
        """Take a record; its `source_row` is the number of records and problems before it."""
        self.rows.append(row)
        self.lines.append(line)
        self.numbers.append(self.next_row)
        self.next_row += 1
        self.num_bytes += num_bytes

    def refuse(self, line: int, rule: str, content: bytes) -> None:
        """Take a line that is no record."""
        self.problems.append(Problem(line=line, rule=rule, row=line_as_json(content)))
        self.next_row += 1
        self.num_bytes += min(len(content), _SHOWN_CHARACTERS)

    @property
    def is_full(self) -> bool:
        """True where the batch has reached its bound in rows or bytes."""
        num_rows = len(self.rows) + len(self.problems)
        return num_rows >= BATCH_ROWS or self.num_bytes >= BATCH_BYTES

    def flush(self, columns: list[str]) -> Iterator[Records]:
        """Yield what was collected, if anything, and start anew."""
        if not self.rows and not self.problems:
            return
        values = zip(*self.rows, strict=True) if self.rows else ([] for _ in columns)
        data = {
            name: pl.Series(name, list(column), dtype=pl.String)
            for name, column in zip(columns, values, strict=True)
        }
        data[SOURCE_LINE] = pl.Series(self.lines, dtype=pl.Int64)
        data[SOURCE_ROW] = pl.Series(self.numbers, dtype=pl.Int64)
        frame = pl.DataFrame(data)
        problems = self.problems
        self.rows, self.lines, self.numbers, self.problems, self.num_bytes = [], [], [], [], 0
        yield Records(frame=frame, problems=problems)


def line_as_json(content: bytes) -> str:
    r"""Show a line that is no record; bytes that are no UTF-8 appear as `\xNN`.

    Args:
        content: The line.

    Returns:
        JSON text with the key `line`, cut after 4,096 characters.
    """
    shown = content[: _SHOWN_CHARACTERS * 4].decode("utf-8", "backslashreplace")
    return json.dumps({"line": shown[:_SHOWN_CHARACTERS]}, ensure_ascii=False)
