"""Training frames from labels in a file to features in a file."""

import io
from datetime import datetime
from pathlib import Path

import polars as pl

from features.pseudonyms import Pseudonyms
from features.store import Store
from features.training_frames import LABEL_TIME, features_at
from jobs.errors import BadInputError
from jobs.load_shop import load_shop
from jobs.options import parse_moment
from jobs.text_files import read_table
from jobs.whole_files import check_folder, write_whole

IDS = ("user_id", "item_id")
ENDINGS = (".parquet", ".csv")


def check_out(path: Path) -> None:
    """Say before any work that a frame cannot be written.

    Raises:
        BadInputError: If it has another ending than `ENDINGS`, or no folder.
    """
    if path.suffix not in ENDINGS:
        raise BadInputError(f"{path}: a frame is written as {' or '.join(ENDINGS)}")
    check_folder(path)


def write_frame(
    store: Store,
    labels: pl.DataFrame,
    out: Path,
    *,
    version: str,
    as_of: datetime,
    pseudonyms: Pseudonyms | None = None,
) -> list[str]:
    """Add features to labels, and write them.

    Args:
        store: Where the tables are.
        labels: See `read_labels`; with plain ids.
        out: See `check_out`.
        version: Model version of the signals.
        as_of: Rows at or after it are seen by no label.
        pseudonyms: Of the store, where it holds any.

    Returns:
        The columns.

    Raises:
        BadInputError: If labels have columns of the features' names, or reviews lack signals.
        StoreError: If a table is missing.
    """
    named = labels if pseudonyms is None else pseudonyms.named(labels)
    shop = load_shop(store, version)
    seen = pl.col("event_time") < as_of
    try:
        frame = features_at(
            named,
            shop.items.lazy(),
            shop.events.filter(seen).lazy(),
            shop.reviews.filter(seen).lazy(),
            shop.signals.lazy(),
        )
    except ValueError as error:
        raise BadInputError(f"the labels cannot be answered: {error}") from error
    frame = frame.with_columns(labels.get_columns())  # With ids as they were given.
    content = io.BytesIO()
    frame.write_parquet(content) if out.suffix == ".parquet" else frame.write_csv(content)
    write_whole(out, content.getvalue())
    return frame.columns


def read_labels(path: Path) -> pl.DataFrame:
    """Read labels from CSV, JSON lines or Parquet: ids as text, `label_time` in UTC.

    Raises:
        BadInputError: If the file cannot be read, lacks a column, or a time is none.
    """
    labels = read_table(path, text_columns=(*IDS, LABEL_TIME))
    ids = [name for name in IDS if name in labels.columns]
    if LABEL_TIME not in labels.columns or not ids:
        raise BadInputError(f"{path}: labels need {LABEL_TIME}, and {' or '.join(IDS)}")
    for name in ids:
        if not (labels[name].dtype.is_integer() or labels[name].dtype == pl.String):
            raise BadInputError(f"{path}: {name} is {labels[name].dtype}, not text or integers")
    given = labels[LABEL_TIME]
    if given.dtype == pl.String:
        moments = {text: _moment(path, text) for text in given.unique().drop_nulls()}
        found = given.replace_strict(moments, default=None, return_dtype=pl.Datetime("us", "UTC"))
    elif isinstance(given.dtype, pl.Datetime):
        zone = given.dtype.time_zone
        known = given.dt.replace_time_zone("UTC") if zone is None else given
        found = known.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    else:
        raise BadInputError(f"{path}: {LABEL_TIME} is {given.dtype}, not ISO 8601 times")
    if found.null_count():
        raise BadInputError(f"{path}: {found.null_count():,} rows have no {LABEL_TIME}")
    return labels.with_columns(found.alias(LABEL_TIME), pl.col(ids).cast(pl.String))


def _moment(path: Path, text: str) -> datetime | None:
    try:
        return parse_moment(text)
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error
