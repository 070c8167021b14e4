"""Logs of an experiment, read lazily: from the store, or from CSV and Parquet files."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from features.readers.times import parse_times
from jobs.errors import BadInputError
from recsys.abtest.plan_sections import REVIEW

if TYPE_CHECKING:
    from features.store import Store

_CSV = (".csv", ".csv.gz")
_PARQUET = (".parquet", ".pq")
_NUMBERS = {
    "price_cents": pl.Int64,
    "quantity": pl.Int64,
    "polarity": pl.Float64,
    "value": pl.Float64,
    "policy_propensity": pl.Float64,
}
_IDS = ("user_id", "variant", "experiment", "event_type", "recommendation_id", "item_id")


class AbtestLogs(NamedTuple):
    """Both logs; see `recsys.abtest.enrolment.enrol` and `recsys.abtest.outcomes.join_outcomes`."""

    exposures: pl.LazyFrame
    outcomes: pl.LazyFrame


def scan_file(path: Path, wanted: Sequence[str]) -> pl.LazyFrame:
    """Read a log from a CSV file, plain or .gz, a Parquet file, or a folder that is a Delta table.

    Args:
        path: The file.
        wanted: Columns it must have.

    Returns:
        Its columns, `event_time` in UTC and microseconds (null where it is no time), ids as text.

    Raises:
        BadInputError: It is missing, of another kind, cannot be read, or lacks a column.
    """
    name = path.name.lower()
    if not path.exists():
        raise BadInputError(f"there is no file {path}")
    try:
        if path.is_dir() and (path / "_delta_log").is_dir():
            rows = pl.scan_delta(str(path))
        elif name.endswith(_CSV):
            rows = pl.scan_csv(path, infer_schema=False)
        elif name.endswith(_PARQUET):
            rows = pl.scan_parquet(path)
        else:
            kinds = ", ".join((*_CSV, *_PARQUET))
            raise BadInputError(f"{path} must be one of {kinds}, or the folder of a Delta table")
        schema = rows.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInputError(f"cannot read {path}: {error}") from error
    missing = [column for column in wanted if column not in schema]
    if missing:
        raise BadInputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(schema.names())}"
        )
    return rows.with_columns(_casts(schema))


def scan_store(store: "Store", *, model_version: str, with_exposures: bool = True) -> AbtestLogs:
    """Read the exposures of a store, and its events and reviews as one log of outcomes.

    Args:
        store: With the tables exposures and events; reviews count where they are scored.
        model_version: Of the signals whose polarity is read; other reviews have none.
        with_exposures: False where there need be none; the log of exposures is then empty.

    Raises:
        StoreError: A table is missing.
    """
    events = store.scan("events").select(
        "user_id", "item_id", "event_type", "event_time", "quantity", "price_cents", "experiment"
    )
    parts = [events]
    if store.exists("reviews"):
        reviews = store.scan("reviews").filter(pl.col("source") == "review")
        told = reviews.select(
            "review_id", "user_id", "item_id", "event_time", event_type=pl.lit(REVIEW)
        )
        if store.exists("review_signals"):
            signals = store.scan("review_signals").filter(pl.col("model_version") == model_version)
            polarity = signals.select("review_id", pl.col("polarity").cast(pl.Float64))
            told = told.join(polarity, on="review_id", how="left")
        else:
            told = told.with_columns(polarity=pl.lit(None, dtype=pl.Float64))
        parts.append(told.drop("review_id"))
    outcomes = pl.concat(parts, how="diagonal")
    if len(parts) == 1:
        outcomes = outcomes.with_columns(polarity=pl.lit(None, dtype=pl.Float64))
    exposures = store.scan("exposures") if with_exposures else pl.LazyFrame()
    return AbtestLogs(exposures, outcomes)


def day_after(logs: Sequence[pl.LazyFrame]) -> datetime:
    """Return the first midnight in UTC after the newest row: what is known is known until then.

    Raises:
        BadInputError: No row has a time.
    """
    newest = [
        log.select(pl.col("event_time").max()).collect(engine="streaming").item() for log in logs
    ]
    told = [moment for moment in newest if moment is not None]
    if not told:
        raise BadInputError("no row of the logs has a time: is event_time ISO 8601?")
    last = max(told)
    return datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)


def _casts(schema: pl.Schema) -> list[pl.Expr]:
    found = []
    for name, dtype in schema.items():
        if name in _IDS and dtype != pl.String:
            found.append(pl.col(name).cast(pl.String))
        elif name in _NUMBERS and dtype != _NUMBERS[name]:
            found.append(_as_number(name, dtype))
        elif name == "event_time":
            found.append(_as_time(dtype))
    return found


def _as_number(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column as numbers, null where it holds others than are wanted."""
    wanted = _NUMBERS[name]
    if wanted != pl.Int64 or dtype.is_integer() or dtype.is_nested():
        return pl.col(name).cast(wanted, strict=False)
    # `12.0` is whole; of `12.99` nobody knows whether these are cents.
    number = pl.col(name).cast(pl.Float64, strict=False)
    whole = pl.when(number == number.round()).then(number).cast(wanted, strict=False)
    if dtype != pl.String:
        return whole.alias(name)
    return pl.coalesce(pl.col(name).cast(wanted, strict=False), whole)


def _as_time(dtype: pl.DataType) -> pl.Expr:
    time = pl.col("event_time")
    if isinstance(dtype, pl.Datetime):
        aware = time.dt.replace_time_zone("UTC") if dtype.time_zone is None else time
        return aware.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if isinstance(dtype, pl.Date):
        return time.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return parse_times(time.cast(pl.String))
