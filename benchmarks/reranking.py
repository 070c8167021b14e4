"""What each wish of reranking costs and brings, on sample shops: relevance, satisfaction, variety.

python -m benchmarks.reranking [--seeds 21 --seeds 22] [--effect 1] [--json F]

Each wish by itself against the ranker's own order, on the last purchase of each user; paired
intervals over the users of all shops.
"""

import dataclasses
import statistics
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from benchmarks.sample_shops import scored_shop
from jobs.config import Config
from jobs.ray_session import ray_session
from jobs.settings import recommender_config
from recsys.cuts import positional_cuts
from recsys.evaluation import Evaluated, evaluate_lists
from recsys.fitting import Fitted, fit_and_test
from recsys.intervals import paired_difference
from recsys.list_metrics import intra_list_distance
from recsys.recommender import Reranking
from recsys.rerank import Shelf
from recsys.rerank_config import RerankConfig
from recsys.tower_fitting import fit_each
from recsys.world import ShopTables

K = 100
OFF = RerankConfig(suppress_brand=0, suppress_aspect=0)
WISHES = {
    "the ranker's order": OFF,
    "suppress_brand = 0.3": dataclasses.replace(OFF, suppress_brand=0.3),
    "suppress_brand = 1": dataclasses.replace(OFF, suppress_brand=1.0),
    "demote_drifting = 0.5": dataclasses.replace(OFF, demote_drifting=0.5),
    "diversity = 0.2": dataclasses.replace(OFF, diversity=0.2),
    "diversity = 0.5": dataclasses.replace(OFF, diversity=0.5),
    "brand_cap = 2": dataclasses.replace(OFF, brand_cap=2),
    "exploration = 0.1": dataclasses.replace(OFF, exploration=0.1),
}
_SHOWN = ("ndcg@10", "satisfaction_ndcg@10", "regret@10", "coverage@10")


def fitted_at_the_test(shop: ShopTables) -> Fitted:
    """Fit as for an evaluation, and keep the recommender that was tested."""
    config = recommender_config(Config())
    cuts = positional_cuts(
        shop.events, shop.reviews, num_learned=config.label_positions, as_of=None
    )
    return fit_and_test(
        shop,
        dataclasses.replace(cuts, final=cuts.test),
        config,
        fit_each,
    )


def shown_to_all(
    fitted: Fitted, shelf: Shelf, config: RerankConfig
) -> tuple[Evaluated, np.ndarray]:
    """Return how good reranked lists are, and how unlike the first ten items of each."""
    recommender, world = fitted.recommender, fitted.world
    assert recommender is not None
    assert world is not None
    now = int(world.population.bought.event_time.max())
    item_idx = np.full((len(world.asked), K), -1, dtype=np.int64)
    for row, user in enumerate(world.asked):
        query = world.population.query(np.array([user]))
        reranking = Reranking(config=config, shelf=shelf, now=now, seed=row)
        found = recommender.recommend(query, K, reranking).item_idx
        item_idx[row, : len(found)] = found
    places = np.broadcast_to(-np.arange(K, dtype=np.float64), item_idx.shape)
    unlike = intra_list_distance(item_idx[:, :10], shelf.vectors)
    return evaluate_lists(world, item_idx, places), unlike


def main(
    seeds: Annotated[list[int], typer.Option(help="Shop seeds.")] = [21, 22],  # noqa: B006
    effect: Annotated[float, typer.Option(help="Sentiment effect of the shops.")] = 1.0,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    found: dict[str, list[tuple[Evaluated, np.ndarray]]] = {name: [] for name in WISHES}
    with ray_session():
        shops = [scored_shop(seed, effect) for seed in seeds]
    for shop in shops:
        fitted = fitted_at_the_test(shop)
        assert fitted.recommender is not None
        shelf = fitted.recommender.shelf()
        for name, config in WISHES.items():
            found[name].append(shown_to_all(fitted, shelf, config))
    rows = {name: _row(of_shops, found["the ranker's order"]) for name, of_shops in found.items()}
    table = Table(title=f"sample shops {seeds}, effect {effect:g}: means")
    table.add_column("", no_wrap=True)
    for column in (*_SHOWN, "unlikeness@10", "ndcg@10 less the ranker's (95%)"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        gain = row["less_the_ranker"]
        cells = [f"{row[metric]:.4f}" for metric in (*_SHOWN, "unlikeness@10")]
        interval = f"{gain['difference']:+.4f} ({gain['low']:+.4f}..{gain['high']:+.4f})"
        table.add_row(name, *cells, interval)
    Console(width=150).print(table)
    write(json, {"seeds": seeds, "effect": effect, "rows": rows})


def _row(
    of_shops: list[tuple[Evaluated, np.ndarray]], plain: list[tuple[Evaluated, np.ndarray]]
) -> dict[str, Any]:
    means = {
        name: statistics.fmean(measured.metrics[name] for measured, _ in of_shops)
        for name in _SHOWN
    }
    ours = np.concatenate([measured.ndcg for measured, _ in of_shops])
    theirs = np.concatenate([measured.ndcg for measured, _ in plain])
    return means | {
        "unlikeness@10": statistics.fmean(float(np.nanmean(unlike)) for _, unlike in of_shops),
        "less_the_ranker": dataclasses.asdict(paired_difference(ours, theirs)),
    }


if __name__ == "__main__":
    typer.run(main)
