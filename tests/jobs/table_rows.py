"""Rows of the tables of a store, from the few columns that a test is about."""

from typing import Any

import polars as pl

from features.schema import TABLES


def rows(table: str, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = TABLES[table].create_empty().schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
