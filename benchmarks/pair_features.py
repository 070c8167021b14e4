"""How long the features of one user and 500 candidates take, from memory-mapped profiles of many.

python -m benchmarks.pair_features [--users 1000000] [--json F]

Profiles, histories and item vectors are generated, written as NumPy files and mapped into memory,
as a process that serves them would; nothing of a user is read before the user is asked for. Each
request is another user and other candidates, 20 rows of purchases and 50 of browsing at most.

    text rows   only the vectors of the candidates out of their file: what nothing can be below
    gather      a user's profile and histories out of the files
    features    of the user and every candidate: `recsys.pair_features.pair_features`
    request     both
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from recsys.candidates import Candidates
from recsys.interactions import IdMap, Interactions
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.pair_features import feature_names, pair_features
from recsys.query import USER_COLUMNS, Population

_NUM_ITEMS, _DIM, _NUM_CANDIDATES, _NUM_REQUESTS = 200_000, 384, 500, 2_000
_SOURCES = ("two_tower", "text", "category", "cooccurrence", "browsed", "popular", "satisfaction")


def main(
    users: Annotated[int, typer.Option(help="Users with a profile.")] = 1_000_000,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Generate, map, ask."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        population, items = _population(Path(folder), rng, users), _items(Path(folder), rng)
        seconds: dict[str, list[float]] = {
            "text rows": [], "gather": [], "features": [], "request": []
        }  # fmt: skip
        for number in range(_NUM_REQUESTS + 100):
            candidates = _candidates(rng)
            user = rng.integers(users, size=1)
            others = _candidates(rng).item_idx[0]
            begin = time.perf_counter()
            items.text.take(others, axis=0)
            taken = time.perf_counter()
            start = time.perf_counter()
            query = population.query(user)
            gathered = time.perf_counter()
            found = pair_features(query, candidates, items, items.text)
            end = time.perf_counter()
            assert found.shape == (1, _NUM_CANDIDATES, len(feature_names(_SOURCES)))
            if number >= 100:
                seconds["text rows"].append(taken - begin)
                seconds["gather"].append(gathered - start)
                seconds["features"].append(end - gathered)
                seconds["request"].append(end - start)
    figures = {
        name: dict(
            zip(("p50", "p90", "p99"), np.quantile(values, (0.5, 0.9, 0.99)) * 1e3, strict=True)
        )
        for name, values in seconds.items()
    }
    table = Table("ms", "p50", "p90", "p99", title=f"{users:,} users, {_NUM_CANDIDATES} candidates")
    for name, found in figures.items():
        table.add_row(name, *(f"{value:.3f}" for value in found.values()))
    Console(width=100).print(table)
    write(json, {"metrics": figures, "data": {"users": users, "candidates": _NUM_CANDIDATES}})


def _mapped(folder: Path, name: str, values: np.ndarray) -> np.ndarray:
    np.save(folder / f"{name}.npy", values)
    # A plain view of the mapping, as `recsys.bundle_parts` has it.
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c"))


def _population(folder: Path, rng: np.random.Generator, num_users: int) -> Population:
    profiles = rng.random((num_users, len(USER_COLUMNS)), dtype=np.float32)
    return Population(
        users=IdMap(ids=np.empty(0, dtype=object)),
        bought=_interactions(folder, "bought", rng, num_users, 20),
        browsed=_interactions(folder, "browsed", rng, num_users, 50),
        user=_mapped(folder, "user", profiles),
    )


def _interactions(
    folder: Path, name: str, rng: np.random.Generator, num_users: int, most: int
) -> Interactions:
    lengths = rng.integers(1, most + 1, num_users)
    num = int(lengths.sum())
    columns = {
        "user_idx": np.repeat(np.arange(num_users, dtype=np.int32), lengths),
        "item_idx": rng.integers(0, _NUM_ITEMS, num, dtype=np.int32),
        "event_time": rng.integers(0, 1 << 50, num),
        "sentiment": rng.random(num, dtype=np.float32),
        "stars": np.full(num, np.nan, dtype=np.float32),
        "session_start": np.zeros(num, dtype=np.int64),
    }
    mapped = {key: _mapped(folder, f"{name}_{key}", values) for key, values in columns.items()}
    return Interactions(num_users=num_users, num_items=_NUM_ITEMS, **mapped)


def _items(folder: Path, rng: np.random.Generator) -> ItemFeatures:
    text = rng.standard_normal((_NUM_ITEMS, _DIM), dtype=np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    dense = rng.random((_NUM_ITEMS, len(DENSE_COLUMNS)), dtype=np.float32)
    return ItemFeatures(
        dense=_mapped(folder, "dense", dense),
        text=_mapped(folder, "text", text),
        category_indptr=np.arange(_NUM_ITEMS + 1) * 3,
        category_idx=rng.integers(0, 400, 3 * _NUM_ITEMS, dtype=np.int32),
        num_categories=400,
        brand_idx=rng.integers(0, 5_000, _NUM_ITEMS, dtype=np.int32),
        num_brands=5_000,
    )


def _candidates(rng: np.random.Generator) -> Candidates:
    shape = (1, _NUM_CANDIDATES)
    return Candidates(
        item_idx=rng.integers(0, _NUM_ITEMS, shape, dtype=np.int32),
        fused=rng.random(shape, dtype=np.float32),
        score=rng.random((*shape, len(_SOURCES)), dtype=np.float32),
        rank=rng.integers(0, 400, (*shape, len(_SOURCES)), dtype=np.int32),
        last=rng.random((*shape, len(_SOURCES)), dtype=np.float32),
        sources=_SOURCES,
    )


if __name__ == "__main__":
    typer.run(main)
