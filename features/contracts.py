"""Contracts at the door: raw text becomes typed rows, or is refused under the rule it breaks.

Free text loses its control characters (except tab and line breaks): they carry no meaning and
break tools further on. Ids are never repaired: one with a control character is refused.
"""

from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import dataframely as dy
import polars as pl

from features.casting import cast_column, cast_rule
from features.readers.batches import BROKEN_RULE, SOURCE_LINE
from features.schema import TABLES


class Splits(dy.Schema):
    """Which published split an event belongs to, for the data sets that come with one."""

    event_id = dy.String(primary_key=True, min_length=1, max_length=256)
    split = dy.String(min_length=1, max_length=64)


CONTRACTS: dict[str, type[dy.Schema]] = {**TABLES, "splits": Splits}

_CAST = "cast:"
_RULE_NAMES = {
    "nullability": "is_missing",
    "min": "is_too_small",
    "min_exclusive": "is_too_small",
    "max": "is_too_large",
    "max_exclusive": "is_too_large",
    "min_length": "is_too_short",
    "max_length": "is_too_long",
    "regex": "is_malformed",
    "check": "is_not_allowed",
    "inner_nullability": "has_a_missing_element",
    "inner_is_not_allowed": "has_an_element_that_is_not_allowed",
}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The two halves of a batch.

    Args:
        good: Rows that keep the contract: its columns and types, and `source_line`.
        bad: `source_line` and `rule`, the first rule that the row breaks, for all others.
    """

    good: pl.DataFrame
    bad: pl.DataFrame


def check(table: str, raw: pl.DataFrame) -> Checked:
    """Hold raw rows against the contract of a table. Ids that occur twice are not its subject.

    Args:
        table: A key of `CONTRACTS`.
        raw: Raw rows with `source_line`; columns that the table does not have are ignored, those
            that are absent are null (or the empty list).

    Returns:
        The rows, typed, and the refused ones; together as many as there were.
    """
    schema = CONTRACTS[table].create_empty().schema
    names = [name for name in schema.names() if name in raw.columns]
    cast = raw.with_columns(
        cast_column(raw.schema[name], schema[name], name).alias(_CAST + name) for name in names
    )
    own_rule = pl.col(BROKEN_RULE) if BROKEN_RULE in raw.columns else pl.lit(None, pl.String)
    rules = [cast_rule(name, _CAST + name, schema[name]) for name in names]
    typed = cast.select(
        SOURCE_LINE,
        pl.coalesce(own_rule, *rules).alias("rule"),
        *(pl.col(_CAST + name).alias(name) for name in names),
        *(_absent(dtype).alias(name) for name, dtype in schema.items() if name not in names),
    )
    castable = typed.filter(pl.col("rule").is_null()).drop("rule")
    result, failure = _with_line(table).filter(castable)
    refused = failure.details()
    rule_columns = [name for name in refused.columns if name not in castable.columns]
    broken = refused.select(SOURCE_LINE, rule=_first_broken(rule_columns))
    uncast = typed.filter(pl.col("rule").is_not_null()).select(SOURCE_LINE, "rule")
    good = pl.DataFrame(result).select(SOURCE_LINE, *schema.names())
    return Checked(good=good, bad=pl.concat([uncast, broken]).sort(SOURCE_LINE))


def readable_rule(name: str) -> str:
    """Turn the name of a contract rule into words.

    Args:
        name: A rule name such as `rating|max`.

    Returns:
        A name such as `rating_is_too_large`.
    """
    column, bar, kind = name.partition("|")
    if not bar:
        return name
    if "control_characters" in kind:
        return f"{column}_has_control_characters"
    return f"{column}_{_RULE_NAMES.get(kind, 'breaks_' + kind)}"


def _absent(dtype: pl.DataType) -> pl.Expr:
    return pl.lit([], dtype) if isinstance(dtype, pl.List) else pl.lit(None, dtype)


def _first_broken(rule_columns: list[str]) -> pl.Expr:
    return pl.coalesce(
        pl.when(pl.col(name).cast(pl.String) == "invalid").then(pl.lit(readable_rule(name)))
        for name in rule_columns
    )


@cache
def _with_line(table: str) -> type[dy.Schema]:
    """The contract plus the source line, minus the rule that ids are unique."""
    schema = CONTRACTS[table]
    members: dict[str, Any] = {SOURCE_LINE: dy.Int64(nullable=True), "__module__": __name__}
    for name, column in schema.columns().items():
        if column.primary_key:
            members[name] = copy(column)
            members[name].primary_key = False
    return type(f"{schema.__name__}WithLine", (schema,), members)
