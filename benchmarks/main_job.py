"""Leave-one-out on a file of reviews: every source, the ranker, and peers, over several seeds.

python -m benchmarks.main_job --reviews FILE [--seeds 5] [--json FILE]

Peers are fitted in the same run on the same rows: popular, item-kNN, and recency-weighted EASE
whose ridge and decay are chosen on the validation row (seq[-2]), never on the test row.
"""

import dataclasses
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fits import fit_with_seed
from benchmarks.harness import spread, write
from features.store import Store
from features.visibility import hold_out
from jobs.config import Config
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from jobs.ray_session import ray_session
from jobs.score_reviews import score
from jobs.settings import score_config
from recsys.evaluation import evaluate_source
from recsys.history_weights import HistoryWeights
from recsys.item_similarity import linear_autoencoder
from recsys.sources import NeighbourSource
from recsys.world import ShopTables, World, build_world

SHOWN = ("ndcg@10", "recall@10", "recall@100", "recall@200", "mrr")
EASE_L2 = (20.0, 50.0, 100.0, 150.0, 200.0, 500.0)
EASE_DECAY = (1.0, 0.8, 0.6)


def tuned_ease(shop: ShopTables) -> tuple[dict[str, float], dict[str, float]]:
    """Return test metrics and the settings of EASE tuned on the row before the test row."""
    valid, test = (
        build_world(shop, hold_out(shop.events, shop.reviews, offset=offset)) for offset in (2, 1)
    )
    grid = [(l2, decay) for l2 in EASE_L2 for decay in EASE_DECAY]
    best = max(grid, key=lambda g: evaluate_source(valid, _ease(valid, *g)).metrics["ndcg@10"])
    return evaluate_source(test, _ease(test, *best)).metrics, {"l2": best[0], "decay": best[1]}


def _ease(world: World, l2: float, decay: float) -> NeighbourSource:
    bought = world.population.bought
    return NeighbourSource(
        name="ease_recency",
        table=linear_autoencoder(bought, l2=l2, max_neighbours=bought.num_items),
        weights=HistoryWeights(decay=decay, sentiment_strength=0.0),
    )


def main(
    reviews: Annotated[Path, typer.Option(help="A file of reviews that `ingest` reads.")],
    seeds: Annotated[int, typer.Option(help="Runs, each with its own seed.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        start = time.perf_counter()
        report = ingest(store, [reviews], now=datetime.now(UTC))
        assert not report.errors, report.errors
        ingested = time.perf_counter()
        with ray_session():
            scored = score(store, score_config(Config()))
        timings = {"ingest": ingested - start, "score": time.perf_counter() - ingested}
        shop = load_shop(store, scored.model_version)
    ease, chosen = tuned_ease(shop)
    runs, gains = [], []
    for seed in range(seeds):
        begin = time.perf_counter()
        fitted = fit_with_seed(shop, seed)
        timings[f"fit and test, seed {seed}"] = time.perf_counter() - begin
        runs.append(fitted.metrics | {"ease_recency": ease})
        gains.append(fitted.sentiment)
        console.print(f"seed {seed}: ranker {fitted.metrics['ranker']['ndcg@10']:.4f}")
    summary = {
        source: {metric: spread([run[source][metric] for run in runs]) for metric in SHOWN}
        for source in runs[0]
    }
    console.print(_table(summary, reviews.name, seeds))
    console.print(f"EASE chosen on validation: {chosen}; sentiment beyond stars: {gains[0]}")
    write(
        json,
        {
            "data": reviews.name,
            "seeds": seeds,
            "metrics": summary,
            "ease": chosen,
            "sentiment_gain": gains[0] and dataclasses.asdict(gains[0]),
            "timings_s": timings,
        },
    )


def _table(summary: dict[str, dict[str, dict[str, float]]], name: str, seeds: int) -> Table:
    table = Table(title=f"{name}, leave-one-out, median of {seeds} seeds (least..greatest)")
    table.add_column("source", no_wrap=True)
    for metric in SHOWN:
        table.add_column(metric, justify="right")
    order = sorted(summary, key=lambda s: statistics.median([summary[s]["ndcg@10"]["median"]]))
    for source in order:
        cells = [
            f"{v['median']:.4f} ({v['min']:.4f}..{v['max']:.4f})"
            if v["min"] != v["max"]
            else f"{v['median']:.4f}"
            for v in (summary[source][metric] for metric in SHOWN)
        ]
        table.add_row(source, *cells)
    return table


if __name__ == "__main__":
    typer.run(main)
