"""Whether the model's embedding recommends as well as the base encoder's own.

python -m benchmarks.text_source --reviews FILE [--store S] [--json F]

Leave-one-out on a file of reviews. The candidate source of texts alone is measured twice on the
same rows: with the embeddings of `review_signals`, and with those of the base encoder for the same
texts. Nothing is fitted. The difference is paired by user, its interval two standard errors.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from features.store import Store
from features.visibility import hold_out
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from recsys.evaluation import Evaluated, evaluate_source
from recsys.history_weights import HistoryWeights
from recsys.sources import TextSource
from recsys.world import ShopTables, build_world
from sentiment.cleaning import review_text
from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.scorer import ReviewScorer, ScorerConfig, model_version

_SHOWN = ("recall@100", "recall@200", "ndcg@10")


def with_base_embedding(signals: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """Return signals whose embeddings are the base encoder's, normalised mean of its last layer."""
    texts = [
        review_text(title, text)
        for title, text in zip(reviews["title"], reviews["text"], strict=True)
    ]
    vectors = TextEncoder.load(EncoderConfig()).pool(texts).embedding
    vectors[np.array([not text for text in texts])] = 0
    found = pl.DataFrame(
        {"review_id": reviews["review_id"], "base": vectors},
        schema_overrides={"base": signals.schema["embedding"]},
    )
    return (
        signals.join(found, on="review_id", how="left")
        .with_columns(embedding=pl.when(pl.col("embedding").is_not_null()).then("base"))
        .drop("base")
    )


def main(
    reviews: Annotated[Path, typer.Option(help="A file of reviews that `ingest` reads.")],
    store: Annotated[
        Path | None, typer.Option(help="A store of these reviews, scored by the present model.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        held = Store(folder)
        report = ingest(held, [reviews], now=datetime.now(UTC))
        assert not report.errors, report.errors
        tables = {name: held.scan(name).collect() for name in ("events", "reviews", "items")}
    version = model_version(ScorerConfig())
    if store is None:
        signals = ReviewScorer.load(ScorerConfig()).score_reviews(tables["reviews"])
    else:
        signals = load_shop(Store(store), version).signals
    results: dict[str, Evaluated] = {}
    for name, frame in (
        ("model", signals),
        ("base", with_base_embedding(signals, tables["reviews"])),
    ):
        shop = ShopTables(
            items=tables["items"],
            events=tables["events"],
            reviews=tables["reviews"],
            signals=frame,
        )
        world = build_world(shop, hold_out(shop.events, shop.reviews, offset=1))
        source = TextSource(name="text", vectors=world.text, weights=HistoryWeights())
        results[name] = evaluate_source(world, source)
    table = Table("embedding", *_SHOWN, title=f"texts alone, {reviews.name}")
    for name, found in results.items():
        table.add_row(name, *(f"{found.metrics[shown]:.4f}" for shown in _SHOWN))
    gain = results["model"].recall_100 - results["base"].recall_100
    mean, reach = float(gain.mean()), float(2 * gain.std() / np.sqrt(len(gain)))
    console = Console(width=100)
    console.print(table)
    interval = f"({mean - reach:+.4f}..{mean + reach:+.4f})"
    console.print(f"recall@100, model less base: {mean:+.4f} {interval}")
    metrics = {name: found.metrics for name, found in results.items()}
    difference = {"recall@100": mean, "low": mean - reach, "high": mean + reach}
    write(
        json,
        {"data": reviews.name, "model": version, "metrics": metrics, "difference": difference},
    )


if __name__ == "__main__":
    typer.run(main)
