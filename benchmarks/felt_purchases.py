"""How a purchase was felt about: by its words, its stars first, or by both, each counting half.

python -m benchmarks.felt_purchases --reviews FILE | --shop SEED [--effect 1] [--seeds 3] [--json F]

The whole is fitted with each, under the same seeds. What is chosen goes by validation: NDCG@10 of
users whom the trees were not fitted on. The test stands beside it.
"""

from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fits import fit_with_seed, scored_files
from benchmarks.harness import write
from benchmarks.sample_shops import scored_shop
from features.opinion import felt, polarity_of_stars
from jobs.ray_session import ray_session

WAYS = {
    "words": lambda stars, polarity: polarity,
    "both": felt,
    "stars": lambda stars, polarity: pl.coalesce(polarity_of_stars(stars), polarity),
}


def main(
    reviews: Annotated[Path | None, typer.Option(help="A file that `ingest` reads.")] = None,
    shop: Annotated[int | None, typer.Option(help="Seed of a sample shop instead.")] = None,
    effect: Annotated[float, typer.Option(help="Sentiment effect of the sample shop.")] = 1.0,
    seeds: Annotated[int, typer.Option(help="Fits of each way.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    with ray_session():
        tables = scored_files([reviews]) if reviews else scored_shop(shop or 0, effect)
    rows = []
    for seed in range(seeds):
        for way, tells in WAYS.items():
            with patch("recsys.interactions.felt", tells):
                fitted = fit_with_seed(tables, seed)
            tested = fitted.metrics["ranker"]
            rows.append(
                {
                    "way": way,
                    "seed": seed,
                    "validation": fitted.ranker.validation["blend"],
                    "ndcg@10": tested["ndcg@10"],
                    "satisfaction_ndcg@10": tested["satisfaction_ndcg@10"],
                }
            )
    measured = pl.DataFrame(rows)
    means = measured.group_by("way", maintain_order=True).agg(pl.exclude("seed").mean())
    table = Table(title=f"{reviews.name if reviews else f'sample shop {shop}'}: {seeds} seeds")
    for column in means.columns:
        table.add_column(column)
    for way, *values in means.iter_rows():
        table.add_row(way, *(f"{value:.4f}" for value in values))
    Console().print(table)
    write(json, {"rows": rows, "means": means.to_dicts()})


if __name__ == "__main__":
    typer.run(main)
