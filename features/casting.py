"""From text to the types of a contract, one expression a type, and the rule where it fails."""

import json

import polars as pl

from features.readers.columns import CONTROL_CHARACTERS
from features.readers.times import parse_times

_ID_CONTROL_CHARACTERS = "[\x00-\x1f]"
_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")
_LIST_SEPARATOR = "|"


def cast_column(raw: pl.DataType, wanted: pl.DataType, name: str) -> pl.Expr:
    """Read a raw column as the type that its contract wants.

    Args:
        raw: The type it has: text, or what a reader has made of it already.
        wanted: The type of the contract.
        name: The column; names that end in `_id` are ids and stay untouched.

    Returns:
        An expression of the wanted type; null where the text cannot be read as it.
    """
    column = pl.col(name)
    if isinstance(wanted, pl.String):
        return column.cast(pl.String) if name.endswith("_id") else _clean(column.cast(pl.String))
    if isinstance(wanted, pl.List) and isinstance(wanted.inner, pl.String):
        return _list_of_texts(column, raw)
    if raw == wanted:
        return column
    if not isinstance(raw, pl.String):
        return column.cast(wanted, strict=False)
    text = column.str.strip_chars()
    if isinstance(wanted, pl.Boolean):
        lower = text.str.to_lowercase()
        return pl.when(lower.is_in(_TRUE)).then(True).when(lower.is_in(_FALSE)).then(False)
    if isinstance(wanted, pl.Datetime):
        return parse_times(column)
    number = text.cast(pl.Float64, strict=False)
    number = pl.when(number.is_finite()).then(number)
    if wanted.is_integer():
        whole = pl.when(number == number.floor()).then(number).cast(wanted, strict=False)
        return pl.coalesce(text.cast(wanted, strict=False), whole)
    return number.cast(wanted, strict=False)


def cast_rule(raw: str, cast: str, wanted: pl.DataType) -> pl.Expr:
    """Name the rule that a raw value breaks by being of the wrong type.

    Args:
        raw: The raw column.
        cast: The column that holds what `cast_column` made of it.
        wanted: The type of the contract.

    Returns:
        A String expression such as `rating_is_not_a_number`; null where the value can be read.
    """
    if isinstance(wanted, pl.String):
        if not raw.endswith("_id"):
            return pl.lit(None, pl.String)
        is_broken = pl.col(cast).str.contains(_ID_CONTROL_CHARACTERS)
        return pl.when(is_broken).then(pl.lit(f"{raw}_has_control_characters"))
    is_lost = pl.col(raw).is_not_null() & pl.col(cast).is_null()
    return pl.when(is_lost).then(pl.lit(f"{raw}_is_not_{_kind(wanted)}"))


def parse_list(text: str) -> list[str] | None:
    """Read a list from one field.

    Args:
        text: A JSON array of texts, or texts separated by `|`.

    Returns:
        The elements without empty ones; None where it starts like JSON and is none.
    """
    if not text.startswith("["):
        return [part.strip() for part in text.split(_LIST_SEPARATOR) if part.strip()]
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(element, str) for element in parsed):
        return None
    return [element for element in parsed if element]


def _clean(text: pl.Expr) -> pl.Expr:
    stripped = text.str.replace_all(CONTROL_CHARACTERS, "")
    return pl.when(stripped != "").then(stripped)


def _list_of_texts(column: pl.Expr, raw: pl.DataType) -> pl.Expr:
    empty = pl.lit([], pl.List(pl.String))
    if isinstance(raw, pl.List):
        return column.list.eval(_clean(pl.element()).drop_nulls()).fill_null(empty)
    parsed = column.map_elements(parse_list, return_dtype=pl.List(pl.String))
    cleaned = parsed.list.eval(_clean(pl.element()).drop_nulls())
    return pl.when(column.is_null()).then(empty).otherwise(cleaned)


def _kind(wanted: pl.DataType) -> str:
    if isinstance(wanted, pl.Boolean):
        return "true_or_false"
    if isinstance(wanted, pl.Datetime):
        return "a_time"
    if isinstance(wanted, pl.List):
        return "a_list"
    return "a_whole_number" if wanted.is_integer() else "a_number"
