"""How fast the two-tower trains and how fast its items are found.

python -m benchmarks.two_tower [--items 200000] [--catalogue 1000000] [--json F]

Training: samples a second of the same towers on the same batches, once over TorchRec's fused tables
(Adagrad in their backward pass) and once over plain `torch.nn.EmbeddingBag` tables with Adam.
Batches are built beforehand, so that only the training is timed; what building costs is told too.
Both take turns, a few steps each.

Search: one query at a time on one thread over a catalogue of vectors that lie in clusters, as those
of trained towers do; the kinds of index are tuned to a recall@100 of 0.95.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn
from torchrec import KeyedJaggedTensor

from benchmarks.harness import spread, write
from recsys.history_weights import HistoryWeights
from recsys.interactions import Interactions
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.retrieval_index import IndexConfig, build_index, recall_at_100
from recsys.two_tower import TwoTower, fused_tables
from recsys.two_tower_batches import Batch, Examples
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig
from recsys.two_tower_inputs import KEYS
from recsys.two_tower_training import corrected_loss

_TEXT_DIM, _NUM_CATEGORIES, _NUM_BRANDS, _EVENTS_AN_ITEM = 384, 1000, 5000, 5
_STEPS_A_TURN, _TURNS = 10, 7
_KINDS = ("Flat", "IVF4096,Flat", "HNSW32")
_QUERIES = 500


class PlainTables(nn.Module):
    """The same tables without TorchRec: one dense `EmbeddingBag` a key."""

    def __init__(self, sizes: list[int], dim: int) -> None:
        super().__init__()
        self.bags = nn.ModuleList(
            nn.EmbeddingBag(size, dim, mode="sum", include_last_offset=True) for size in sizes
        )

    def forward(self, rows: KeyedJaggedTensor) -> "_Pooled":
        """Return the pooled rows by key."""
        return _Pooled(
            {
                key: bag(part.values(), part.offsets(), per_sample_weights=part.weights())
                for bag, key in zip(self.bags, KEYS, strict=True)
                for part in [rows[key]]
            }
        )


class _Pooled:
    def __init__(self, of_keys: dict[str, torch.Tensor]) -> None:
        self._of_keys = of_keys

    def to_dict(self) -> dict[str, torch.Tensor]:
        """Return what TorchRec's KeyedTensor would."""
        return self._of_keys


def main(
    items: Annotated[int, typer.Option(help="Items of the shop that is trained on.")] = 200_000,
    catalogue: Annotated[int, typer.Option(help="Vectors that are searched.")] = 1_000_000,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Train in turns, then search."""
    training = _training(items)
    search = _search(catalogue)
    table = Table("", "median", "least", "greatest", title="samples a second")
    for name, figures in training["samples_per_s"].items():
        table.add_row(name, *(f"{value:,.0f}" for value in figures.values()))
    Console().print(table)
    Console().print({name: training[name] for name in ("ratio", "batch_ms")})
    table = Table("index", "recall@100", "p50 ms", "p99 ms", "build s", title=f"{catalogue:,} x 64")
    for name, found in search.items():
        values = (found[key] for key in ("recall_100", "p50_ms", "p99_ms", "build_s"))
        table.add_row(name, *(f"{value:,.3f}" for value in values))
    Console().print(table)
    write(json, {"items": items, "training": training, "catalogue": catalogue, "search": search})


def _training(num_items: int) -> dict[str, Any]:
    data = _shop(num_items)
    towers, training = TwoTowerConfig(), TrainingConfig()
    examples = Examples(data=data, config=training)
    rng = np.random.default_rng(0)
    drawn = [rng.choice(examples.rows, training.batch_size) for _ in range(40)]
    examples.batch(drawn[0], rng, "cpu")
    begin = time.perf_counter()
    batches = [examples.batch(rows, rng, "cpu") for rows in drawn]
    batch_ms = 1000 * (time.perf_counter() - begin) / len(drawn)
    steps = {"TorchRec, fused": _fused(data, towers), "torch, Adam": _plain(data, towers)}
    figures: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(_TURNS + 1):
        for name, step in steps.items():
            part = [
                batches[(turn * _STEPS_A_TURN + k) % len(batches)] for k in range(_STEPS_A_TURN)
            ]
            begin = time.perf_counter()
            for batch in part:
                step(batch)
            if turn:
                took = time.perf_counter() - begin
                figures[name].append(training.batch_size * _STEPS_A_TURN / took)
    ours, theirs = figures.values()
    return {
        "samples_per_s": {name: spread(values) for name, values in figures.items()},
        "ratio": spread([a / b for a, b in zip(ours, theirs, strict=True)]),
        "batch_ms": batch_ms,
    }


def _fused(data: TowerData, config: TwoTowerConfig) -> Callable[[Batch], None]:
    model = TwoTower(fused_tables(data.features, config, "cpu"), text_dim=_TEXT_DIM, config=config)
    towers = [p for name, p in model.named_parameters() if not name.startswith("tables.")]
    return _step(model, torch.optim.AdamW(towers, lr=1e-3, fused=True))


def _plain(data: TowerData, config: TwoTowerConfig) -> Callable[[Batch], None]:
    sizes = [len(data.features), data.features.num_categories, data.features.num_brands]
    model = TwoTower(PlainTables(sizes, config.dim), text_dim=_TEXT_DIM, config=config)
    return _step(model, torch.optim.Adam(model.parameters(), lr=1e-3))


def _step(model: TwoTower, optimizer: torch.optim.Optimizer) -> Callable[[Batch], None]:
    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        queries, items = model(*batch.inputs)
        loss = corrected_loss(queries, items, batch)
        loss.backward()
        optimizer.step()

    model.train()
    return step


def _shop(num_items: int) -> TowerData:
    rng = np.random.default_rng(0)
    num_users, size = num_items // 2, num_items * _EVENTS_AN_ITEM
    user = np.sort(rng.integers(0, num_users, size)).astype(np.int32)
    nan, time_us = np.full(size, np.nan, dtype=np.float32), np.arange(size, dtype=np.int64)
    bought = Interactions(
        num_users=num_users,
        num_items=num_items,
        user_idx=user,
        item_idx=(num_items * rng.power(0.5, size)).astype(np.int32),
        event_time=time_us,
        session_start=time_us,
        sentiment=nan,
        stars=nan,
    )
    features = ItemFeatures(
        dense=rng.normal(size=(num_items, len(DENSE_COLUMNS))).astype(np.float32),
        text=rng.normal(size=(num_items, _TEXT_DIM)).astype(np.float32) / 20,
        category_indptr=np.arange(0, 2 * num_items + 1, 2),
        category_idx=rng.integers(0, _NUM_CATEGORIES, 2 * num_items).astype(np.int32),
        num_categories=_NUM_CATEGORIES,
        brand_idx=rng.integers(0, _NUM_BRANDS, num_items).astype(np.int32),
        num_brands=_NUM_BRANDS,
    )
    return TowerData(
        interactions=bought,
        browse_log=bought.keep(np.zeros(size, dtype=bool)),
        features=features,
        weights=HistoryWeights(),
    )


def _search(num_vectors: int) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2000, 64)).astype(np.float32)
    vectors = centres[rng.integers(0, len(centres), num_vectors)]
    vectors += 0.6 * rng.normal(size=vectors.shape).astype(np.float32)
    queries = vectors[rng.choice(num_vectors, _QUERIES)]
    queries = queries + 0.3 * rng.normal(size=queries.shape).astype(np.float32)
    found = {}
    for kind in _KINDS:
        faiss.omp_set_num_threads(2)
        begin = time.perf_counter()
        index = build_index(vectors, IndexConfig(factory=kind, tune=True))
        built = time.perf_counter() - begin
        recall = recall_at_100(index, vectors)
        faiss.omp_set_num_threads(1)
        times = []
        for query in queries:
            begin = time.perf_counter()
            index.search(query[None], 100)
            times.append(1000 * (time.perf_counter() - begin))
        found[kind] = {
            "recall_100": recall,
            "p50_ms": float(np.median(times)),
            "p99_ms": float(np.quantile(times, 0.99)),
            "build_s": built,
        }
    return found


if __name__ == "__main__":
    typer.run(main)
