"""Whether the model's embedding recommends as well as the base encoder's own.

python -m benchmarks.text_source --reviews FILE [--json F]

Leave-one-out on a file of reviews. The candidate source of texts alone is measured twice on the
same rows: with the embeddings of `review_signals`, and with those of the base encoder for the same
texts. Nothing is fitted.
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
from recsys.evaluation import evaluate_source
from recsys.history_weights import HistoryWeights
from recsys.sources import TextSource
from recsys.world import ShopTables, build_world
from sentiment.cleaning import review_text
from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.scorer import ReviewScorer, ScorerConfig

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
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        report = ingest(store, [reviews], now=datetime.now(UTC))
        assert not report.errors, report.errors
        tables = {name: store.scan(name).collect() for name in ("events", "reviews", "items")}
    scorer = ReviewScorer.load(ScorerConfig())
    signals = scorer.score_reviews(tables["reviews"])
    results: dict[str, dict[str, float]] = {}
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
        results[name] = evaluate_source(world, source).metrics
    table = Table("embedding", *_SHOWN, title=f"texts alone, {reviews.name}")
    for name, metrics in results.items():
        table.add_row(name, *(f"{metrics[shown]:.4f}" for shown in _SHOWN))
    Console(width=100).print(table)
    write(json, {"data": reviews.name, "model": scorer.version, "metrics": results})


if __name__ == "__main__":
    typer.run(main)
