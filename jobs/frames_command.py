"""`sentirec frames`: training frames, for whoever learns models of their own from this shop."""

import io
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output
from jobs.text_files import read_table
from jobs.whole_files import check_folder, write_whole

IDS = ("user_id", "item_id")
ENDINGS = (".parquet", ".csv")


def frames(
    labels: Annotated[
        Path, typer.Argument(help="Table with label_time, and user_id, item_id or both.")
    ],
    out: Annotated[Path, typer.Argument(help="File to write: .parquet or .csv.")],
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Add the features of each label's user and item as of its time, from strictly before it."""
    from features.training_frames import LABEL_TIME, features_at
    from jobs.load_shop import load_shop
    from jobs.stage_commands import open_scored

    output = Output(json)
    if out.suffix not in ENDINGS:
        raise BadInputError(f"{out}: a frame is written as {' or '.join(ENDINGS)}")
    check_folder(out)
    asked = read_labels(labels, LABEL_TIME)
    opened, version, moment = open_scored(store, config, as_of)
    shop = load_shop(opened, version)
    seen = pl.col("event_time") < moment
    try:
        frame = features_at(
            asked,
            shop.items.lazy(),
            shop.events.filter(seen).lazy(),
            shop.reviews.filter(seen).lazy(),
            shop.signals.lazy(),
        )
    except ValueError as error:
        raise BadInputError(f"{labels}: {error}") from error
    content = io.BytesIO()
    frame.write_parquet(content) if out.suffix == ".parquet" else frame.write_csv(content)
    write_whole(out, content.getvalue())
    output.console.print(f"{out}: {len(frame):,} rows, {len(frame.columns):,} columns")
    output.write_json({"rows": len(frame), "columns": frame.columns})


def read_labels(path: Path, time: str) -> pl.DataFrame:
    """Read labels, with ids as text and the column of their times in UTC.

    Raises:
        BadInputError: If the file cannot be read, lacks a column, or a time is none.
    """
    labels = read_table(path, text_columns=(*IDS, time))
    ids = [name for name in IDS if name in labels.columns]
    if time not in labels.columns or not ids:
        raise BadInputError(f"{path}: labels need {time}, and {' or '.join(IDS)}")
    labels = labels.with_columns(pl.col(ids).cast(pl.String))
    given = labels[time]
    if given.dtype == pl.String:
        moments = {text: _moment(path, text) for text in given.unique().drop_nulls()}
        found = given.replace_strict(moments, default=None, return_dtype=pl.Datetime("us", "UTC"))
    elif isinstance(given.dtype, pl.Datetime):
        zone = given.dtype.time_zone
        known = given.dt.replace_time_zone("UTC") if zone is None else given
        found = known.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    else:
        raise BadInputError(f"{path}: {time} is {given.dtype}, not ISO 8601 times")
    empty = found.null_count()
    if empty:
        raise BadInputError(f"{path}: {empty:,} rows have no {time}")
    return labels.with_columns(found.alias(time))


def _moment(path: Path, text: str) -> object:
    try:
        return parse_moment(text)
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error
