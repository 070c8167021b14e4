"""Logs as files: Open Bandit columns as they are, and CSV or Parquet of our own names.

Open Bandit: https://github.com/st-tech/zr-obp, `timestamp, item_id, position, click,
propensity_score, user_feature_*, user-item_affinity_*`.
"""

from pathlib import Path

import polars as pl

from recsys.errors import LogError
from recsys.off_policy.log import IDS
from recsys.off_policy.row_checks import REWARD_RANGES, check_plain

_RENAMED = {
    "timestamp": "event_time",
    "propensity_score": "propensity",
    "rank": "position",
    "recommendation_id": "list_id",
}
CSV_ENDINGS = (".csv", ".csv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")


def read_frame(path: Path) -> pl.DataFrame:
    """Read a CSV (plain or .gz) or Parquet file; ids are strings.

    Raises:
        LogError: If it is not there, of another kind, damaged or empty.
    """
    if not path.is_file():
        raise LogError(f"there is no file {path}: give a CSV (plain or .gz) or Parquet file")
    name = path.name.lower()
    try:
        if name.endswith(PARQUET_ENDINGS):
            return pl.read_parquet(path)
        if name.endswith(CSV_ENDINGS):
            return pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise LogError(f"{path} cannot be read: {error}") from error
    raise LogError(f"{path} is neither {' nor '.join((*CSV_ENDINGS, *PARQUET_ENDINGS))}")


def read_log_rows(path: Path) -> pl.DataFrame:
    """Read a log file into the columns that `recsys.off_policy.log` describes.

    Args:
        path: Of a file with the columns of Open Bandit, or `item_id`, `propensity` and a reward,
            with `rank` or `position`, `recommendation_id` or `list_id` where known.

    Raises:
        LogError: If it cannot be read or has no `item_id`.
    """
    return named_rows(read_frame(path), str(path))


def named_rows(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Give the columns of a log the names of `recsys.off_policy.log`.

    Args:
        frame: One row an item that was shown, or a list with its places in `items`, a list of
            structs as the table of exposures has it.
        source: What to call it where it is wrong.

    Raises:
        LogError: If a column stands under two of its names, there is no `item_id`, or an id is no
            text or number.
    """
    if "items" in frame.columns and "item_id" not in frame.columns:
        frame = _places(frame, source)
    found = {old: new for old, new in _RENAMED.items() if old in frame.columns}
    both = sorted(f"{old} and {new}" for old, new in found.items() if new in frame.columns)
    if both:
        raise LogError(f"{source} has {', '.join(both)}, which are the same: keep one of them")
    if "item_id" not in frame.columns:
        raise LogError(
            f"{source} has no column item_id but {', '.join(frame.columns[:8])}: a log says what "
            "was shown, with its propensity and what followed"
        )
    renamed = frame.rename(found)
    ids = [name for name in IDS if name in renamed.columns]
    check_plain(renamed, ids)
    return renamed.with_columns(pl.col(ids).cast(pl.String))


def _places(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Return a row a place of a table with a row a list, its places in the column items."""
    kind = frame.schema["items"]
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        raise LogError(f"{source} has items that are {kind}, wanted a list of structs")
    inside = [field.name for field in kind.inner.fields]
    both = sorted({*inside, *REWARD_RANGES} & set(frame.columns))
    if both:
        raise LogError(
            f"{source} has {', '.join(both)} beside the column items: what belongs to a place, "
            "such as what followed, must stand in its struct"
        )
    return frame.explode("items", empty_as_null=False).unnest("items")
