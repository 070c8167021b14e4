"""What it costs that the ranker may never hold satisfaction against an item.

python -m benchmarks.monotone_ranker [--shops 31 --shops 32] [--files F].. [--store S] [--json F]

Sources are fitted once a shop; on the same lessons a ranker is fitted without constraints and
one with `SATISFACTION_COUNTS`, under each seed. All are tested on the same users, leave-one-out.
`falls` is the share of candidates whose score falls where all that satisfaction says of them is
made better by a little.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fits import scored_files, scored_store
from benchmarks.harness import write
from benchmarks.sample_shops import scored_shop
from jobs.config import Config
from jobs.ray_session import ray_session
from jobs.settings import recommender_config
from recsys.cuts import positional_cuts
from recsys.evaluation import candidates_and_features, evaluate_lists, lessons
from recsys.fitting import fit_alike, with_votes
from recsys.intervals import paired_difference
from recsys.pair_features import feature_names
from recsys.ranker import fit_ranker
from recsys.ranker_config import SATISFACTION_COUNTS, RankerConfig
from recsys.retrieval import RecommenderConfig, tower_data
from recsys.tower_fitting import fit_each
from recsys.world import ShopTables, build_world

ARMS = {"free": {}, "monotone": SATISFACTION_COUNTS}
_STEP = 0.1


def main(
    shops: Annotated[list[int], typer.Option(help="Seeds of sample shops.")] = [],  # noqa: B006
    files: Annotated[list[Path], typer.Option(help="Files of one real shop.")] = [],  # noqa: B006
    store: Annotated[str | None, typer.Option(help="A scored shop.")] = None,
    seeds: Annotated[int, typer.Option(help="Rankers an arm.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    tables = {} if store is None else {"store": scored_store(store)}
    if shops or files:
        with ray_session():
            tables |= {f"sample shop {seed}": scored_shop(seed, 1.0) for seed in shops}
            if files:
                tables[files[0].name.split(".")[0]] = scored_files(files)
    found = {}
    for name, shop in tables.items():
        found[name] = measured(shop, seeds)
        write(json, {"seeds": seeds, "rows": found})
    table = Table(
        "", "", "ndcg@10", "satisfaction_ndcg@10", "regret@10", "falls", "ndcg less free's (95%)"
    )
    for name, arms in found.items():
        for arm, row in arms.items():
            told = row["less_free"]
            interval = f"{told['difference']:+.4f} ({told['low']:+.4f}..{told['high']:+.4f})"
            figures = [f"{row[metric]:.4f}" for metric in _METRICS]
            table.add_row(name, arm, *figures, f"{row['falls']:.1%}", interval)
    Console(width=150).print(table)


_METRICS = ("ndcg@10", "satisfaction_ndcg@10", "regret@10")


def measured(shop: ShopTables, seeds: int) -> dict[str, dict[str, Any]]:
    """Return what each arm reaches on one shop; intervals are over users, means over seeds."""
    config = recommender_config(Config())
    cuts = positional_cuts(
        shop.events, shop.reviews, num_learned=config.label_positions, as_of=None
    )
    known = dataclasses.replace(shop, events=cuts.test.events, reviews=cuts.test.reviews)
    worlds = [*(build_world(known, cut) for cut in cuts.learned), build_world(shop, cuts.test)]
    towers = fit_each(
        [tower_data(world, config) for world in worlds], config.towers, config.training
    )
    *of_learned, of_test = fit_alike(worlds, towers, config)
    config = with_votes(worlds[-2], of_learned[-1], config)
    learned = lessons(worlds[:-1], [r.sources for r in of_learned], config.candidates)
    names = feature_names(learned.candidates.sources)
    candidates, features = candidates_and_features(worlds[-1], of_test.sources, config.candidates)
    happier = features.copy()
    for feature, way in SATISFACTION_COUNTS.items():
        happier[:, :, names.index(feature)] += way * _STEP
    rows: dict[str, dict[str, Any]] = {}
    ndcg: dict[str, np.ndarray] = {}
    for arm, monotone in ARMS.items():
        metrics, of_users, falls = [], [], []
        for seed in range(seeds):
            ranker = fit_ranker(
                learned.features,
                learned.candidates,
                learned.grades,
                num_targets=learned.num_targets,
                num_asked=learned.num_asked,
                names=names,
                config=_ranker_config(config, monotone, seed),
            )
            scores = ranker.score(features, candidates)
            result = evaluate_lists(worlds[-1], candidates.item_idx, scores)
            metrics.append(result.metrics)
            of_users.append(result.ndcg)
            real = candidates.item_idx >= 0
            trees = [ranker.booster.predict(given[real]) for given in (features, happier)]
            falls.append(float((np.asarray(trees[1]) < np.asarray(trees[0]) - 1e-12).mean()))
        ndcg[arm] = np.mean(of_users, axis=0)
        rows[arm] = {
            name: float(np.mean([m.get(name, np.nan) for m in metrics])) for name in _METRICS
        } | {
            "falls": float(np.mean(falls)),
            "less_free": dataclasses.asdict(paired_difference(ndcg[arm], ndcg["free"])),
        }
    return rows


def _ranker_config(config: RecommenderConfig, monotone: dict[str, int], seed: int) -> RankerConfig:
    return dataclasses.replace(config.ranker, monotone=monotone, seed=seed, num_threads=1)


if __name__ == "__main__":
    typer.run(main)
