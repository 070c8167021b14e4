"""How well an item's next ratings are told from its earlier ones: plain means, shrunk, borrowed.

python -m benchmarks.item_levels --data ../shared/data [--json F]

Amazon Electronics 2023 with its own time split: levels from the ratings of train and validation,
asked about those of test. Squared error of each rating of the test part, by how many ratings the
item had before. Nothing is chosen on the test part: the shrunk means estimate how much to shrink
from earlier ratings, `5 imaginary reviews` is a common rule of thumb.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from features.levels import with_levels
from features.opinion import STARS_LEVEL

_IMAGINARY = 5
_BUCKETS = {"0": (0, 0), "1": (1, 1), "2-5": (2, 5), "6-20": (6, 20), "more": (21, None)}
_RESAMPLES = 1000


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    folder = data / "interactions"
    ratings = pl.read_csv(folder / "amazon_electronics_2023.csv.gz")
    items = pl.read_csv(folder / "amazon_electronics_2023_items.csv.gz", infer_schema_length=None)
    predicted = _levels(ratings.filter(pl.col("split") != "test"), items)
    asked = ratings.filter(pl.col("split") == "test").join(predicted, on="item_id")
    names = [name for name in predicted.columns if name not in ("item_id", "num_before")]
    table = Table(
        "earlier ratings", "asked", *names, title="mean squared error of the next ratings, stars²"
    )
    figures = {}
    for bucket, (least, most) in {**_BUCKETS, "all": (0, None)}.items():
        rows = asked.filter(pl.col("num_before").is_between(least, 10**9 if most is None else most))
        errors = {
            name: ((rows[name] - rows["rating"]) ** 2).to_numpy().astype(float) for name in names
        }
        figures[bucket] = {"asked": len(rows)} | {
            name: float(error.mean()) for name, error in errors.items()
        }
        gain = errors[f"{_IMAGINARY} imaginary"] - errors["borrowed"]
        low, high = _interval(gain, rows["item_id"])
        figures[bucket] |= {"gain_low": low, "gain_high": high}
        table.add_row(bucket, f"{len(rows):,}", *(f"{figures[bucket][name]:.4f}" for name in names))
    console = Console(width=100)
    console.print(table)
    for bucket, found in figures.items():
        console.print(
            f"{bucket}: borrowed against {_IMAGINARY} imaginary reviews, less error by "
            f"{found['gain_low']:.4f}..{found['gain_high']:.4f} (95%)"
        )
    write(json, {"metrics": figures})


def _levels(earlier: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return `item_id, num_before` and a column of expected stars a way to tell them."""
    own = STARS_LEVEL.moments
    rating = pl.col("rating").cast(pl.Float64)
    sums = earlier.group_by("item_id").agg(
        rating.count().alias(own.count),
        rating.sum().alias(own.total),
        (rating**2).sum().alias(own.squares),
    )
    groups = items.select("item_id", "category", "brand").join(sums, on="item_id", how="left")
    shop = float(earlier["rating"].to_numpy().mean())
    count, total = pl.col(own.count).fill_null(0), pl.col(own.total).fill_null(0.0)
    level = STARS_LEVEL.column("level")
    alone = with_levels(groups, [STARS_LEVEL]).select("item_id", shrunk=level)
    borrowed = with_levels(groups, [STARS_LEVEL], "item_id", ["category", "brand"])
    return (
        groups.select(
            "item_id",
            num_before=count,
            shop=pl.lit(shop),
            mean=pl.when(count > 0).then(total / count).otherwise(shop),
            **{f"{_IMAGINARY} imaginary": (total + _IMAGINARY * shop) / (count + _IMAGINARY)},
        )
        .join(alone, on="item_id")
        .join(borrowed.select("item_id", borrowed=level), on="item_id")
    )


def _interval(gain: np.ndarray, item: pl.Series) -> tuple[float, float]:
    """Return the 95% bootstrap interval of the mean; items are drawn, with all their ratings."""
    place = item.rank("dense").to_numpy() - 1
    sums, counts = np.bincount(place, gain), np.bincount(place)
    rng = np.random.default_rng(0)
    even = np.full(len(sums), 1 / len(sums))
    times = rng.multinomial(len(sums), even, size=_RESAMPLES)
    low, high = np.quantile((times @ sums) / (times @ counts), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    typer.run(main)
