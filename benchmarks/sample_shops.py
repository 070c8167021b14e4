"""Sample shops of known sentiment effect: what each part is worth, and what texts add to stars.

python -m benchmarks.sample_shops [--seeds 31 --seeds 32 ...] [--effects 0 --effects 1] [--json F]

Each shop is generated, ingested, scored, fitted and tested on the last purchase of each user. At
effect 0 what sentiment adds to stars must vanish.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fits import fit_with_seed, scored_files
from benchmarks.harness import write
from jobs.ray_session import ray_session
from jobs.sample_shop import ShopConfig, generate_shop, write_shop
from recsys.fitting import Fitted
from recsys.world import ShopTables

_COLUMNS = (
    "effect",
    "seed",
    "two-tower R@100",
    "item-kNN R@100",
    "ranker NDCG@10",
    "best source",
    "R2 of stars",
    "with sentiment",
    "gain (95%)",
)


def scored_shop(seed: int, effect: float) -> ShopTables:
    """Generate, ingest and score one shop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shop(generate_shop(ShopConfig(seed=seed, sentiment_effect=effect)), folder)
        return scored_files(sorted(path for path in folder.iterdir() if path.is_file()))


def main(
    seeds: Annotated[list[int], typer.Option(help="Shop seeds.")] = [31, 32, 33],  # noqa: B006
    effects: Annotated[list[float], typer.Option(help="Sentiment effects.")] = [0, 1],  # noqa: B006
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=150)
    table = Table(title="sample shops, leave-one-out")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    rows: list[dict[str, Any]] = []
    with ray_session():
        for effect in effects:
            for seed in seeds:
                shop = {"effect": effect, "seed": seed}
                fitted = fit_with_seed(scored_shop(seed, effect), seed)
                assert fitted.sentiment is not None
                gain = dataclasses.asdict(fitted.sentiment)
                rows.append(shop | {"metrics": fitted.metrics, "sentiment_gain": gain})
                cells = _cells(shop, fitted)
                table.add_row(*cells.values())
                console.print(cells)
    console.print(table)
    write(json, {"rows": rows})


def _cells(shop: dict[str, float], fitted: Fitted) -> dict[str, str]:
    """Return one row of the table by column."""
    metrics, gain, best = fitted.metrics, fitted.sentiment, fitted.comparison.best_source
    assert gain is not None
    values = (
        f"{shop['effect']:g}",
        f"{shop['seed']}",
        f"{metrics['two_tower']['recall@100']:.3f}",
        f"{metrics['item_knn']['recall@100']:.3f}",
        f"{metrics['ranker']['ndcg@10']:.4f}",
        f"{metrics[best]['ndcg@10']:.4f} ({best})",
        f"{gain.r2_stars:.3f}",
        f"{gain.r2_stars_and_signals:.3f}",
        f"{gain.gain:+.4f} ({gain.low:+.4f} .. {gain.high:+.4f})",
    )
    return dict(zip(_COLUMNS, values, strict=True))


if __name__ == "__main__":
    typer.run(main)
