"""Which format a file is of, told from its first record or header."""

from dataclasses import dataclass
from typing import Literal

from features.errors import InputError, MissingColumnError, UnknownFormatError
from features.readers import amazon, canonical, product_reviews, retailrocket, taobao, uci_retail
from features.readers.batches import Format
from features.readers.byte_source import ByteSource
from features.readers.delimited import sniff_header
from features.readers.json_lines import parse_json_record
from features.readers.parquet import MAGIC, parquet_columns

# The first that fits is taken, so the particular come before the general.
FORMATS: tuple[Format, ...] = (
    canonical.EVENTS,
    canonical.CONTACTS,
    uci_retail.INVOICES,
    retailrocket.EVENTS,
    taobao.BEHAVIOUR,
    amazon.SEQUENCES,
    amazon.ATTRIBUTES,
    canonical.REVIEWS,
    amazon.REVIEWS,
    amazon.INTERACTIONS,
    amazon.CATALOGUE,
    canonical.ITEMS,
    canonical.USERS,
    canonical.SUPPRESSIONS,
    product_reviews.REVIEWS,
)
_FIRST_RECORDS = 20


@dataclass(frozen=True, kw_only=True)
class Detected:
    """What a file was found to be.

    Args:
        format: Its family.
        container: How its records are written.
        columns: Its column names, for CSV in their order.
        delimiter: Between the fields of a CSV.
        has_header: Whether the first line of a CSV is names.
    """

    format: Format
    container: Literal["csv", "json", "parquet"]
    columns: list[str]
    delimiter: str = ","
    has_header: bool = True


def detect(source: ByteSource, format_name: str | None = None) -> Detected:
    """Tell what an open file is.

    Args:
        source: The file.
        format_name: The format that it is said to be of; None to find out.

    Returns:
        The format and how the records are written.

    Raises:
        UnknownFormatError: No format fits, or there is no format of this name.
        MissingColumnError: The format is clear, and a column that it needs is absent.
        InputError: The beginning of the file cannot be read.
    """
    forced = None if format_name is None else _named(format_name)
    candidates = FORMATS if forced is None else (forced,)
    if source.head.startswith(MAGIC):
        columns = parquet_columns(source.path)
        return Detected(
            format=_choose(source, columns, forced), container="parquet", columns=columns
        )
    start = source.head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        raise UnknownFormatError(
            f"{source.path} is a JSON array: write one JSON object a line instead"
        )
    if start.startswith(b"{"):
        columns = _json_keys(source)
        return Detected(format=_choose(source, columns, forced), container="json", columns=columns)
    try:
        names, delimiter = sniff_header(source.head)
    except InputError as error:
        raise UnknownFormatError(f"{source.path}: {error}") from error
    for known in candidates:
        if known.recognises_row is not None and known.recognises_row(names):
            return Detected(
                format=known,
                container="csv",
                columns=list(known.headerless),
                delimiter=delimiter,
                has_header=False,
            )
    return Detected(
        format=_choose(source, names, forced), container="csv", columns=names, delimiter=delimiter
    )


def _named(name: str) -> Format:
    for known in FORMATS:
        if known.name == name:
            return known
    names = ", ".join(sorted(known.name for known in FORMATS))
    raise UnknownFormatError(f"there is no format {name}; there are: {names}")


def _choose(source: ByteSource, columns: list[str], forced: Format | None) -> Format:
    there = frozenset(columns)
    chosen = forced or next((known for known in FORMATS if known.fits(there)), None)
    found = ", ".join(columns[:40]) or "none"
    if chosen is None:
        names = ", ".join(sorted(known.name for known in FORMATS))
        raise UnknownFormatError(
            f"{source.path} is of no known format; its columns are: {found[:2000]}. Known formats: "
            f"{names}; --format NAME takes one of them and says which columns it misses"
        )
    missing = chosen.missing(there)
    if missing:
        raise MissingColumnError(
            f"{source.path} was read as {chosen.name} ({chosen.title}) and lacks "
            f"{'; '.join(missing)}. The columns found are: {found[:2000]}"
        )
    return chosen


def _json_keys(source: ByteSource) -> list[str]:
    keys: dict[str, None] = {}
    for line in source.head.splitlines()[:_FIRST_RECORDS]:
        record = parse_json_record(line)
        if isinstance(record, dict):
            keys.update(dict.fromkeys(record))
    if not keys:
        raise UnknownFormatError(
            f"{source.path} looks like JSON lines, and none of its first lines is a JSON object"
        )
    return list(keys)
