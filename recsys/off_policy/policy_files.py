"""Policy files: chances of actions as CSV, Parquet or JSON."""

import json
from pathlib import Path

import polars as pl

from recsys.errors import LogError, PolicyError
from recsys.off_policy.log import Log
from recsys.off_policy.log_files import read_frame
from recsys.off_policy.policies import TargetPolicy, table_policy


def read_policy(path: Path, log: Log) -> TargetPolicy:
    """Read a policy; `recsys.off_policy.policies.table_policy` says what its columns mean.

    Args:
        path: CSV, Parquet, or JSON: an object from item to chance, or a list of objects with the
            columns as keys.
        log: What it is evaluated on.

    Raises:
        PolicyError: If it cannot be read, is no policy, or does not fit the log.
    """
    try:
        table = _read_json(path) if path.name.endswith(".json") else read_frame(path)
    except LogError as error:
        raise PolicyError(str(error)) from error
    renamed = {"rank": "position"} if "rank" in table.columns else {}
    return table_policy(log, table.rename(renamed), name=path.name)


def _read_json(path: Path) -> pl.DataFrame:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise PolicyError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise PolicyError(f"{path} cannot be read as JSON: {error}") from error
    if isinstance(content, dict):
        content = [{"item_id": item, "probability": value} for item, value in content.items()]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise PolicyError(
            f"{path} is neither an object from item to chance nor a list of objects with item_id "
            "and probability"
        )
    try:
        return pl.DataFrame(content, infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise PolicyError(f"{path} has rows of different kinds: {error}") from error
