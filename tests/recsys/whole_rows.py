"""Rows of the tables of a store, from the columns that a test is about."""

import polars as pl

from features.schema import TABLES


def whole(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    schema = TABLES[table].create_empty().schema
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )
