"""How alike lookalikes are: do the nearest users turn to what the seeds turn to?

python -m benchmarks.lookalikes --store runs/demo/store [--categories 6] [--top 100] [--json F]

Seeds are the first half, by id, of the users whose favourite category is the same. Beside the share
of their nearest others who have that favourite stands the share of everybody who is no seed: that
of users drawn by luck.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from features.store import Store
from jobs.config import Config
from jobs.newest_row import after_last_row
from jobs.segment_members import segment_tables, signals_version
from jobs.segment_space import tower_space


def main(
    store: Annotated[Path, typer.Option(help="Of a shop with a live bundle.")],
    categories: Annotated[int, typer.Option(help="The most frequent favourites.")] = 6,
    top: Annotated[int, typer.Option(help="Nearest users.")] = 100,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Measure the share of lookalikes with the seeds' favourite category."""
    opened = Store(store)
    version = signals_version(opened, Config())
    as_of = after_last_row(opened, datetime.now(UTC))
    tables = segment_tables(opened, version=version, as_of=as_of)
    space = tower_space(opened, tables, version=version)
    users = (
        tables.read("user_profiles", "the benchmark")
        .select("user_id", favourite=pl.col("favourite_categories").list.first())
        .sort("user_id")
        .collect()
    )
    counts = users["favourite"].drop_nulls().value_counts().sort("count", "favourite")
    table = Table("favourite", "seeds", "of lookalikes", "of everybody else")
    figures = {}
    for favourite in reversed(counts["favourite"].tail(categories).to_list()):
        has_it = pl.col("favourite") == favourite
        same = users.filter(has_it)["user_id"]
        seeds = same.head(len(same) // 2)
        found = space.lookalikes(seeds, top=top, include_seeds=False).filter("value")
        others = users.filter(~pl.col("user_id").is_in(seeds.implode()))
        shares = [
            rows.select(has_it.fill_null(value=False).mean()).item()
            for rows in (found.join(users, on="user_id"), others)
        ]
        figures[favourite] = {"seeds": len(seeds), "of_lookalikes": shares[0], "luck": shares[1]}
        table.add_row(favourite, str(len(seeds)), *(f"{share:.2f}" for share in shares))
    Console(width=100).print(table)
    write(json, {"metrics": figures, "data": {"users": len(users), "top": top}})


if __name__ == "__main__":
    typer.run(main)
