"""Interleave two files of rankings, read back what users clicked, and say which they prefer."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jobs.errors import BadInputError
from jobs.sample_shop import ShopConfig, generate_shop
from jobs.simulate_experiment import POLICIES, SimulationConfig, named_policy, truth_of_shop
from recsys.interleaving import A, B, Preference, preference, team_draft
from recsys.interleaving_simulation import Saving, impressions_saved
from recsys.off_policy.log_files import read_frame

TEAMS = {A: "a", B: "b"}
_RANKING = ("list_id", "item_id", "rank")
_LOG = ("list_id", "user_id", "team")


def interleave_files(a: Path, b: Path, *, places: int, seed: int) -> pl.DataFrame:
    """Interleave the rankings of two files by team draft.

    Args:
        a: CSV or Parquet with `list_id, item_id, rank`, the first rank best.
        b: Of the same lists.
        places: Of a list.
        seed: Of the coins.

    Returns:
        `list_id, item_id, position` from 1, `team`: a, b, or null where both rankings agree.

    Raises:
        LogError: If a file cannot be read.
        BadInputError: If columns are missing, lists differ, or an item or rank stands twice.
    """
    tables = [_ranking(path) for path in (a, b)]
    names = [set(table["list_id"]) for table in tables]
    if names[0] != names[1]:
        alone = sorted(names[0] ^ names[1])
        raise BadInputError(
            f"{len(alone):,} lists stand in one file only, such as {alone[0]!r}: both rankings "
            "must order the same lists"
        )
    ids = sorted(names[0])
    items = sorted({*tables[0]["item_id"], *tables[1]["item_id"]})
    ranked = [_matrix(table, ids, items) for table in tables]
    coins = np.random.default_rng(seed).random((len(ids), (places + 1) // 2)) < 0.5
    found = team_draft(ranked[0], ranked[1], places, coins)
    row, place = np.nonzero(found.item >= 0)
    return pl.DataFrame(
        {
            "list_id": [ids[number] for number in row],
            "item_id": [items[item] for item in found.item[row, place]],
            "position": place + 1,
            "team": [TEAMS.get(int(team)) for team in found.team[row, place]],
        },
        schema_overrides={"team": pl.String},
    )


def analyze_interleaved(path: Path, reward: str) -> Preference:
    """Say which ranking users prefer.

    Args:
        path: CSV or Parquet with `list_id, user_id, team` and the reward, a row a place.
        reward: Column of what followed: a click, or satisfaction.

    Raises:
        LogError: If the file cannot be read.
        BadInputError: If columns are missing, a team is unknown, rewards are no numbers, or one
            user has all lists.
    """
    frame = read_frame(path)
    missing = [name for name in (*_LOG, reward) if name not in frame.columns]
    if missing:
        raise BadInputError(
            f"{path} has no {', '.join(missing)}: an interleaved log says of each place whose pick "
            "it was (a, b, or nothing), who saw it and what followed"
        )
    team = pl.col("team").cast(pl.String).str.to_lowercase().replace("", None)
    try:
        frame = frame.with_columns(team, pl.col(reward).cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise BadInputError(f"{path}: {reward} holds other things than numbers") from error
    unknown = set(frame["team"].drop_nulls()) - set(TEAMS.values())
    if unknown:
        raise BadInputError(f"{path} has teams {sorted(unknown)}, wanted a, b or nothing")
    if not frame[reward].is_finite().fill_null(False).all():
        raise BadInputError(f"{path}: {reward} is missing or not finite in some rows, wanted 0")
    lists = frame.group_by("list_id", maintain_order=True).agg(
        pl.col("user_id").first().cast(pl.String),
        users=pl.col("user_id").n_unique(),
        a=pl.col(reward).filter(pl.col("team") == "a").sum(),
        b=pl.col(reward).filter(pl.col("team") == "b").sum(),
    )
    if (lists["users"] > 1).any() or lists["user_id"].is_null().any():
        raise BadInputError(f"{path} has lists of no user or of several: each list is one user's")
    try:
        return preference(lists["a"].to_numpy(), lists["b"].to_numpy(), lists["user_id"].to_numpy())
    except ValueError as error:
        raise BadInputError(f"{path}: {error}") from error


def simulate_saving(
    policy_a: str, policy_b: str, *, places: int, seed: int, power: float
) -> tuple[Saving, dict[str, Any]]:
    """Count how many impressions interleaving saves between two policies of the sample shop.

    Raises:
        BadInputError: If a policy is unknown, or users click as much on both.
    """
    for name in (policy_a, policy_b):
        if name not in POLICIES:
            raise BadInputError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    config = SimulationConfig(seed=seed, shop=ShopConfig(seed=seed))
    shop = generate_shop(config.shop)
    truth = truth_of_shop(shop, num_candidates=max(config.num_candidates, 2 * places), seed=seed)
    a, b = (named_policy(name, truth, shop, config).scores for name in (policy_a, policy_b))
    behaviour = type(config.behaviour)(num_places=places)
    try:
        saving = impressions_saved(truth, behaviour, a, b, seed=seed, power=power)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    return saving, {"a": policy_a, "b": policy_b, "power": power, **asdict(saving)}


def _ranking(path: Path) -> pl.DataFrame:
    frame = read_frame(path)
    missing = [name for name in _RANKING if name not in frame.columns]
    if missing:
        raise BadInputError(f"{path} has no {', '.join(missing)}: wanted {', '.join(_RANKING)}")
    try:
        rank = pl.col("rank").cast(pl.Float64)
        frame = frame.select(pl.col("list_id", "item_id").cast(pl.String), rank)
    except pl.exceptions.PolarsError as error:
        raise BadInputError(
            f"{path} has ranks that are no numbers, or ids that are lists: {error}"
        ) from error
    wrong = frame.filter(
        pl.any_horizontal(pl.all().is_null()) | ~pl.col("rank").is_finite().fill_null(False)
    )
    if len(wrong):
        raise BadInputError(
            f"{path} has {len(wrong):,} rows without a list, an item or a rank that is a number, "
            f"such as {wrong.row(0)}: complete them, or take them out"
        )
    for key in (["list_id", "item_id"], ["list_id", "rank"]):
        twice = frame.select(key).is_duplicated()
        if twice.any():
            raise BadInputError(
                f"{path} has {int(twice.sum()):,} rows with the same {' and '.join(key)}, such as "
                f"{frame.filter(twice).row(0)}: a ranking names each item once"
            )
    if frame.is_empty():
        raise BadInputError(f"{path} has no rows")
    return frame.sort("list_id", "rank")


def _matrix(table: pl.DataFrame, ids: list[str], items: list[str]) -> np.ndarray:
    """Return item indices of each list, best first, -1 for padding."""
    row = np.searchsorted(ids, table["list_id"].to_numpy())
    column = np.searchsorted(items, table["item_id"].to_numpy())
    counts = np.bincount(row, minlength=len(ids))
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    ranked = np.full((len(ids), int(counts.max())), -1, dtype=np.int64)
    ranked[row, place] = column
    return ranked
