"""Comparisons of columns as Polars expressions, whatever the type of the column.

`in` is the or of `equals`, of every type. A time without a zone and a date are of UTC, as in
definitions; what of a type cannot be compared is refused before anything is read.
"""

from datetime import datetime
from typing import Any

import polars as pl

from recsys.errors import SegmentError
from recsys.segments.comparison import Comparison

_LISTS = "lists of texts"


def check_type(comparison: Comparison, dtype: pl.DataType, where: str) -> None:
    """Check that a comparison can be asked of a column.

    Args:
        comparison: What is asked.
        dtype: Of the column.
        where: File, segment and path, for messages.

    Raises:
        SegmentError: The type of the column has no answer to it.
    """
    wanted = _kind_of(dtype)
    for name, asked in comparison.given().items():
        if name == "is_null":
            continue
        told = f"{where}: {name} = {asked!r}: the column holds {wanted or dtype}"
        if wanted is None:
            raise SegmentError(f"{told}, of which only is_null can be asked")
        if (wanted == _LISTS) != (name == "contains"):
            raise SegmentError(f"{told}; lists, and only they, are asked what they contain")
        values = asked if isinstance(asked, list) else [asked]
        seen = {_kind_of_value(value) for value in values}
        if wanted not in (_LISTS, *seen) or len(seen) > 1:
            raise SegmentError(f"{told}, not {' and '.join(sorted(seen))}")


def compared(value: pl.Expr, comparison: Comparison, dtype: pl.DataType) -> pl.Expr:
    """Return a comparison, null where the value is; NaN is unknown too.

    Args:
        value: Of the column.
        comparison: What is asked; see `check_type`.
        dtype: Of the column.
    """
    value = _comparable(value, dtype)
    holds = []
    for name, asked in comparison.given().items():
        asked = _like(asked, dtype)
        match name:
            case "above":
                holds.append(value > asked)
            case "at_least":
                holds.append(value >= asked)
            case "below":
                holds.append(value < asked)
            case "at_most":
                holds.append(value <= asked)
            case "between":
                holds.append(value.is_between(*asked))
            case "equals":
                holds.append(value == asked)
            case "in":
                holds.append(_is_any_of(value, asked))
            case "contains":
                holds.append(pl.any_horizontal([value.list.contains(one) for one in asked]))
            case "is_null":
                holds.append(value.is_null() if asked else value.is_not_null())
    return holds[0] if len(holds) == 1 else pl.all_horizontal(holds)


def _comparable(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a column as the type that values of definitions are held against."""
    if dtype.is_float():
        return value.fill_nan(None)
    if dtype.is_decimal():
        return value.cast(pl.Float64)
    if isinstance(dtype, pl.Enum | pl.Categorical):
        return value.cast(pl.String)
    if isinstance(dtype, pl.List) and _kind_of(dtype) == _LISTS:
        return value.cast(pl.List(pl.String))
    if dtype == pl.Date:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if isinstance(dtype, pl.Datetime) and dtype != pl.Datetime("us", "UTC"):
        return value.dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
    return value


def _is_any_of(value: pl.Expr, asked: list[Any]) -> pl.Expr:
    """Tell whether a value equals any of some.

    `is_in` compares numbers of two types otherwise than `==`: 0.6 is in no column of 32 bits.
    """
    if all(isinstance(one, str) for one in asked):
        return value.is_in(asked)
    return pl.any_horizontal([value == one for one in asked])


def _like(asked: Any, dtype: pl.DataType) -> Any:
    """Return whole numbers as such for columns of them: else the columns would be cast."""
    if isinstance(asked, list):
        return [_like(one, dtype) for one in asked]
    is_whole = isinstance(asked, float) and asked.is_integer()
    return int(asked) if is_whole and abs(asked) < 2**63 and dtype.is_integer() else asked


def _kind_of(dtype: pl.DataType) -> str | None:
    """Return what a column holds in words; None of what cannot be compared."""
    if isinstance(dtype, pl.List) and _kind_of(dtype.inner) == "texts":  # pyright: ignore[reportArgumentType]
        return _LISTS
    if dtype.is_numeric():
        return "numbers"
    if dtype == pl.Boolean:
        return "true or false"
    if isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        return "times"
    is_text = dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical)
    return "texts" if is_text else None


def _kind_of_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "numbers"
    return "times" if isinstance(value, datetime) else "texts"
