"""Policies to be evaluated, as chances of what they would have shown in each row of a log.

Shape suffixes: N rows, n rows of a part, A actions, G groups of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.errors import PolicyError
from recsys.off_policy.log import Log

SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class TargetPolicy:
    """A policy, on the rows of one log.

    Attributes:
        name: What to call it.
        logged: Chance that it shows what was shown, in [0, 1], shape (N,).
        unlogged: Chance that it shows what the log never shows anywhere, in [0, 1], shape (N,).
        total: Chance that it shows any action of the log; with `unlogged` they sum to one, or to
            less where the policy shows nothing, shape (N,).
        actions_of: Takes rows, shape (n,), and gives chances of all actions in them, shape (n, A).
    """

    name: str
    logged: np.ndarray
    unlogged: np.ndarray
    total: np.ndarray
    actions_of: Callable[[np.ndarray], np.ndarray]


def table_policy(log: Log, table: pl.DataFrame, *, name: str) -> TargetPolicy:
    """Return the policy that a table of chances describes.

    Args:
        log: What it is evaluated on.
        table: `item_id, probability`; with `position` where places differ, and with columns of the
            log's context where it depends on what was known. In each of their groups the chances
            sum to one; items that are not named are never shown.
        name: What to call it.

    Raises:
        PolicyError: If columns are missing or unknown, chances are outside [0, 1], do not sum to
            one, stand twice, or a place or context of the log has none.
    """
    missing = {"item_id", "probability"} - set(table.columns)
    if missing or table.is_empty():
        raise PolicyError(
            f"{name} has no {', '.join(sorted(missing)) or 'rows'}: a policy is a table of "
            "item_id, probability and, where they matter, position and columns of the context"
        )
    keys = [column for column in table.columns if column not in ("item_id", "probability")]
    unknown = [c for c in keys if c != "position" and c not in log.context.columns]
    if unknown:
        raise PolicyError(
            f"{name} depends on {', '.join(unknown)}, which the log does not have; it has position"
            f"{''.join(f', {c}' for c in log.context.columns[:10])}"
        )
    wanted = _keyed(log, keys)
    try:
        table = table.with_columns(
            pl.col("item_id").cast(pl.String),
            pl.col("probability").cast(pl.Float64),
            *(pl.col(key).cast(wanted.schema[key]) for key in keys),
        )
    except pl.exceptions.PolarsError as error:
        raise PolicyError(f"{name} does not have the types of the log: {error}") from error
    _check_table(table, keys, name)
    groups = wanted.unique(maintain_order=True).with_row_index("group")
    group = (
        wanted.join(groups, on=keys, how="left", nulls_equal=True, maintain_order="left")[
            "group"
        ].to_numpy()
        if keys
        else np.zeros(len(log), dtype=np.int64)
    )
    placed = (
        table.join(groups, on=keys, nulls_equal=True)
        if keys
        else table.with_columns(group=pl.lit(0))
    )
    num_groups = len(groups) if keys else 1
    told = np.bincount(placed["group"].to_numpy(), minlength=num_groups)
    if (told == 0).any():
        lacking = groups.row(int(np.flatnonzero(told == 0)[0]), named=True)
        raise PolicyError(
            f"{name} says nothing of {int((told == 0).sum()):,} of {num_groups:,} groups of the "
            f"log, such as { {key: lacking[key] for key in keys} }: give chances for each"
        )
    items = placed["item_id"].to_numpy()
    column = np.minimum(np.searchsorted(log.actions, items), log.num_actions - 1)
    is_known = log.actions[column] == items
    chance, row = placed["probability"].to_numpy(), placed["group"].to_numpy()
    chance_GA = np.zeros((num_groups, log.num_actions))
    chance_GA[row[is_known], column[is_known]] = chance[is_known]
    unlogged_G = np.bincount(row[~is_known], chance[~is_known], minlength=num_groups)
    return TargetPolicy(
        name=name,
        logged=chance_GA[group, log.action],
        unlogged=unlogged_G[group],
        total=chance_GA.sum(1)[group],
        actions_of=lambda rows: chance_GA[group[rows]],
    )


def _keyed(log: Log, keys: list[str]) -> pl.DataFrame:
    columns: dict[str, pl.Series | np.ndarray] = {
        key: log.positions[log.position] if key == "position" else log.context[key] for key in keys
    }
    return pl.DataFrame(columns)


def _check_table(table: pl.DataFrame, keys: list[str], name: str) -> None:
    if table["item_id"].is_null().any():
        raise PolicyError(
            f"{name} has {table['item_id'].null_count():,} chances of no item: name every item"
        )
    chance = table["probability"].fill_null(float("nan")).to_numpy()
    wrong = ~((chance >= 0) & (chance <= 1))
    if wrong.any():
        raise PolicyError(
            f"{name} has {int(wrong.sum()):,} chances outside [0, 1], such as {chance[wrong][0]:g}"
        )
    if table.select("item_id", *keys).is_duplicated().any():
        raise PolicyError(f"{name} names an item twice in one group: give each chance once")
    of_groups = table.group_by(keys) if keys else table.group_by(pl.lit(0))
    sums = of_groups.agg(total=pl.col("probability").sum()).sort("total")["total"].to_numpy()
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        raise PolicyError(
            f"chances of {name} sum to {sums[off][0]:g} in one of {len(sums):,} groups, wanted 1: "
            "name every item that is ever shown, with its chance"
        )
