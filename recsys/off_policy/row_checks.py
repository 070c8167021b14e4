"""What rows of a log must be: numbers where numbers belong, in range, and each exposure once."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys.errors import LogError

REWARD_RANGES = {"click": (0.0, 1.0), "purchase": (0.0, 1.0), "satisfaction": (-1.0, 1.0)}
_NAMED_ROWS = 3


def check_plain(rows: pl.DataFrame, columns: Sequence[str]) -> None:
    """Raise where an id or what was known is a list or a struct.

    Raises:
        LogError: If so.
    """
    for name in columns:
        kind = rows.schema[name]
        if kind.is_nested() or kind in (pl.Binary, pl.Object):
            raise LogError(f"the column {name} is {kind}, wanted one text or number in each row")


def positions_of(rows: pl.DataFrame) -> np.ndarray:
    """Return places in lists, 0 throughout where there are none, int64, shape (N,).

    Raises:
        LogError: If some are missing or no whole numbers.
    """
    if "position" not in rows.columns:
        return np.zeros(len(rows), dtype=np.int64)
    if rows["position"].is_null().any():
        raise LogError(f"{rows['position'].null_count():,} rows have no position")
    values = _numbers(rows, "position")
    wrong = ~(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53))
    if wrong.any():
        raise LogError(
            f"{int(wrong.sum()):,} of {len(values):,} positions are no whole numbers, such as "
            f"{_some(values[wrong])}: number places from the top down"
        )
    return values.astype(np.int64)


def propensities_of(rows: pl.DataFrame) -> np.ndarray:
    """Return propensities, shape (N,).

    Raises:
        LogError: If there are none, or some lie outside (0, 1].
    """
    if "propensity" not in rows.columns:
        raise LogError(
            "the log has no propensities (a column `propensity` or `propensity_score`): without "
            "the chance with which each item was shown nothing can be reweighted; log it when "
            "lists are made"
        )
    values = _numbers(rows, "propensity")
    wrong = ~((values > 0) & (values <= 1))
    if wrong.any():
        raise LogError(
            f"{int(wrong.sum()):,} of {len(values):,} propensities are missing or not in (0, 1], "
            f"such as {_some(values[wrong])}: a propensity is the chance, above 0 and at most 1, "
            "with which the item came to its place"
        )
    return values


def rewards_of(rows: pl.DataFrame, reward: str) -> np.ndarray:
    """Return rewards, shape (N,).

    Raises:
        LogError: If there are none of that name, or some are missing or no finite numbers.
    """
    if reward not in rows.columns:
        known = [name for name in REWARD_RANGES if name in rows.columns]
        raise LogError(
            f"the log has no reward {reward!r}; it has {', '.join(known) or 'none of the known'}: "
            "choose one of those, or join the outcomes to the log"
        )
    values = _numbers(rows, reward)
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise LogError(
            f"{int(wrong.sum()):,} of {len(values):,} values of {reward} are missing or NaN, "
            f"the first in row {int(np.flatnonzero(wrong)[0]):,} (from 0): write 0 where nothing "
            "followed, and leave out rows whose outcome is not known yet"
        )
    return values


def reward_bounds(
    values: np.ndarray, reward: str, given: tuple[float, float] | None
) -> tuple[float, float]:
    """Return least and greatest value that a reward can have.

    Raises:
        LogError: If some lie outside, or the ends are given the wrong way round.
    """
    low, high = given or REWARD_RANGES.get(reward) or (float(values.min()), float(values.max()))
    if low >= high and given is not None:
        raise LogError(f"the range of {reward} is {low} to {high}, wanted the lower end first")
    outside = (values < low) | (values > high)
    if outside.any():
        raise LogError(
            f"{int(outside.sum()):,} values of {reward} lie outside {low:g} to {high:g}, such as "
            f"{_some(values[outside])}"
        )
    return low, high


def check_once(rows: pl.DataFrame, reward: str) -> None:
    """Raise where an exposure stands in the log twice.

    Raises:
        LogError: If so.
    """
    if "list_id" in rows.columns:
        if rows["list_id"].is_null().any():
            raise LogError(f"{rows['list_id'].null_count():,} rows name no list")
        _check_unique(rows, ["list_id", "item_id"], "the same list_id and item_id")
        if "position" in rows.columns:
            _check_unique(rows, ["list_id", "position"], "the same list_id and position")
    elif "event_time" in rows.columns:
        # Without lists a row has no name: it is the same only where all but the outcome is.
        outcomes = {*REWARD_RANGES, reward}
        told = [
            name
            for name, kind in rows.schema.items()
            if not isinstance(kind, pl.List) and name not in outcomes
        ]
        _check_unique(rows, told, "the same in every column but the outcome")


def _numbers(rows: pl.DataFrame, column: str) -> np.ndarray:
    try:
        return rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    except pl.exceptions.PolarsError as error:
        raise LogError(f"the column {column} holds other things than numbers: {error}") from error


def _check_unique(rows: pl.DataFrame, key: list[str], what: str) -> None:
    twice = rows.select(key).is_duplicated()
    if twice.any():
        shown = rows.filter(twice).select(key[:_NAMED_ROWS]).row(0, named=True)
        raise LogError(
            f"{int(twice.sum()):,} of {len(rows):,} rows are duplicate exposures ({what}), such as "
            f"{shown}: an exposure must be logged once; remove what was written twice"
        )


def _some(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:_NAMED_ROWS])
