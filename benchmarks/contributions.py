"""What it takes to tell what each feature adds to the scores of a list, beside the scores.

python -m benchmarks.contributions [--requests 50] [--json F]

A ranker of 240 trees over nine sources, fitted to generated features; of 200 candidates 20 are
asked about. One thread.

    score           of all candidates, by `Ranker.score`
    contributions   of the items that are shown, by `recsys.contributions.contributions`
"""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import spread, write
from recsys.candidates import Candidates
from recsys.contributions import contributions
from recsys.lightgbm_alone import lgb
from recsys.pair_features import feature_names
from recsys.ranker import Ranker

_SOURCES = ("two_tower", "item_to_item", "next_item", "two_steps", "popular_recent")
_MORE_SOURCES = ("popular_in_categories", "text", "linear", "browsed")
_NUM_CANDIDATES, _NUM_SHOWN, _NUM_TREES, _NUM_ROWS = 200, 20, 240, 40_000


def main(
    requests: Annotated[int, typer.Option(help="Lists a figure.")] = 50,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    sources = _SOURCES + _MORE_SOURCES
    names = feature_names(sources)
    rng = np.random.default_rng(0)
    figures = {}
    for num_leaves in (7, 15):
        ranker = Ranker(
            booster=_booster(rng, len(names), num_leaves),
            base="fused",
            blend=0.75,
            validation={},
            feature_names=names,
        )
        seconds: dict[str, list[float]] = {"score": [], "contributions": []}
        for number in range(requests + 3):
            candidates = _candidates(rng, sources)
            shape = (1, _NUM_CANDIDATES, len(names))
            features = rng.normal(size=shape).astype(np.float32)
            start = time.perf_counter()
            scores = ranker.score(features, candidates)[0]
            scored = time.perf_counter()
            shown = np.argsort(-scores)[:_NUM_SHOWN]
            asked = time.perf_counter()
            told = contributions(ranker, features, candidates, shown)
            end = time.perf_counter()
            total = told.start + told.base + told.features.sum(1)
            assert np.abs(total - scores[shown]).max() < 1e-4
            if number >= 3:
                seconds["score"].append(scored - start)
                seconds["contributions"].append(end - asked)
        figures[f"{num_leaves} leaves"] = {
            name: spread([1e3 * value for value in values]) for name, values in seconds.items()
        }
    table = Table("ms", "score, median (least..most)", "contributions")
    for name, of_kind in figures.items():
        cells = [f"{f['median']:.2f} ({f['min']:.2f}..{f['max']:.2f})" for f in of_kind.values()]
        table.add_row(name, *cells)
    Console(width=100).print(table)
    write(json, {"metrics": figures, "data": {"candidates": _NUM_CANDIDATES, "shown": _NUM_SHOWN}})


def _booster(rng: np.random.Generator, num_features: int, num_leaves: int) -> lgb.Booster:
    rows = rng.normal(size=(_NUM_ROWS, num_features)).astype(np.float32)
    wanted = rows[:, :30].sum(1) + rows[:, 30] * rows[:, 31] + rng.normal(size=_NUM_ROWS)
    parameters = {"num_leaves": num_leaves, "num_threads": 1, "verbose": -1, "seed": 0}
    return lgb.train(parameters, lgb.Dataset(rows, wanted), _NUM_TREES)


def _candidates(rng: np.random.Generator, sources: tuple[str, ...]) -> Candidates:
    shape = (1, _NUM_CANDIDATES)
    by_source = (*shape, len(sources))
    return Candidates(
        item_idx=rng.permutation(10_000)[None, :_NUM_CANDIDATES].astype(np.int32),
        fused=rng.random(shape, dtype=np.float32),
        score=np.zeros(by_source, dtype=np.float32),
        rank=np.zeros(by_source, dtype=np.int32),
        last=np.zeros(by_source, dtype=np.float32),
        sources=sources,
    )


if __name__ == "__main__":
    typer.run(main)
