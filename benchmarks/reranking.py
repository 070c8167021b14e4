"""What each wish of reranking costs and brings, on sample shops: relevance, satisfaction, variety.

python -m benchmarks.reranking [--seeds 21 --seeds 22] [--effect 1] [--store S] [--json F]

Each wish by itself against the ranker's own order, on the last purchase of each user; paired
intervals over the users of all shops.
"""

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fits import scored_store
from benchmarks.harness import write
from benchmarks.sample_shops import scored_shop
from features.visibility import Visible
from jobs.config import Config
from jobs.ray_session import ray_session
from jobs.settings import recommender_config
from recsys.cuts import positional_cuts
from recsys.evaluation import Evaluated
from recsys.fitting import Fitted, fit_and_test, rank_all
from recsys.intervals import paired_difference
from recsys.list_metrics import intra_list_distance
from recsys.rerank_config import RerankConfig
from recsys.shown_lists import Circumstances, ShopWishes, evaluate_shown, shown_to_all
from recsys.tower_fitting import fit_each
from recsys.world import ShopTables

OFF = RerankConfig(suppress_brand=0, suppress_aspect=0)
WISHES = {
    "the ranker's order": OFF,
    "as it ships": RerankConfig(),
    "suppress_aspect = 0.2": dataclasses.replace(OFF, suppress_aspect=0.2),
    "suppress_brand = 0.3": dataclasses.replace(OFF, suppress_brand=0.3),
    "suppress_brand = 1": dataclasses.replace(OFF, suppress_brand=1.0),
    "demote_drifting = 0.5": dataclasses.replace(OFF, demote_drifting=0.5),
    "diversity = 0.2": dataclasses.replace(OFF, diversity=0.2),
    "diversity = 0.5": dataclasses.replace(OFF, diversity=0.5),
    "brand_cap = 2": dataclasses.replace(OFF, brand_cap=2),
    "exploration = 0.1": dataclasses.replace(OFF, exploration=0.1),
}
Lists = tuple[Evaluated, np.ndarray, float]
"""How good lists are, how unlike the first ten items of each, milliseconds of a list."""
_SHOWN = ("ndcg@10", "satisfaction_ndcg@10", "regret@10", "coverage@10")


def fitted_at_the_test(shop: ShopTables) -> tuple[Fitted, Visible]:
    """Fit as for an evaluation, and keep the recommender that was tested and what it saw."""
    config = recommender_config(Config())
    cuts = positional_cuts(
        shop.events, shop.reviews, num_learned=config.label_positions, as_of=None
    )
    of_test = dataclasses.replace(cuts, final=cuts.test)
    return fit_and_test(shop, of_test, config, fit_each), cuts.test


def measured(fitted: Fitted, shop: ShopTables, visible: Visible) -> dict[str, Lists]:
    """Return what the lists of each wish are like."""
    recommender, world = fitted.recommender, fitted.world
    assert recommender is not None
    assert world is not None
    ranked = rank_all(world, recommender)
    around = Circumstances.of(recommender, world, visible, shop.signals.lazy())
    found = {}
    for name, config in WISHES.items():
        wishes = ShopWishes(config=config)
        start = time.perf_counter()
        shown = shown_to_all(recommender, world, ranked, around, wishes)
        ms = 1000 * (time.perf_counter() - start) / len(shown)
        unlike = intra_list_distance(shown[:, :10], around.shelf.vectors)
        found[name] = (evaluate_shown(world, shown), unlike, ms)
    return found


def main(
    seeds: Annotated[list[int], typer.Option(help="Shop seeds.")] = [21, 22],  # noqa: B006
    effect: Annotated[float, typer.Option(help="Sentiment effect of the shops.")] = 1.0,
    store: Annotated[str | None, typer.Option(help="A scored shop, instead of seeds.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    found: dict[str, list[Lists]] = {name: [] for name in WISHES}
    if store is None:
        with ray_session():
            shops = [scored_shop(seed, effect) for seed in seeds]
    else:
        shops = [scored_store(store)]
    for shop in shops:
        fitted, visible = fitted_at_the_test(shop)
        for name, of_wish in measured(fitted, shop, visible).items():
            found[name].append(of_wish)
    rows = {name: _row(of_shops, found["the ranker's order"]) for name, of_shops in found.items()}
    told = f"sample shops {seeds}, effect {effect:g}" if store is None else "one shop"
    table = Table(title=f"{told}: means")
    table.add_column("", no_wrap=True)
    for column in (*_SHOWN, "unlikeness@10", "ms", "ndcg@10 less the ranker's (95%)"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        gain = row["less_the_ranker"]
        cells = [f"{row[metric]:.4f}" for metric in (*_SHOWN, "unlikeness@10")]
        interval = f"{gain['difference']:+.4f} ({gain['low']:+.4f}..{gain['high']:+.4f})"
        table.add_row(name, *cells, f"{row['ms']:.2f}", interval)
    Console(width=150).print(table)
    write(json, {"shops": told, "rows": rows})


def _row(of_shops: list[Lists], plain: list[Lists]) -> dict[str, Any]:
    means = {
        name: statistics.fmean(measured.metrics[name] for measured, *_ in of_shops)
        for name in _SHOWN
    }
    ours = np.concatenate([measured.ndcg for measured, *_ in of_shops])
    theirs = np.concatenate([measured.ndcg for measured, *_ in plain])
    return means | {
        "unlikeness@10": statistics.fmean(float(np.nanmean(lists[1])) for lists in of_shops),
        "ms": statistics.median(ms for *_, ms in of_shops),
        "less_the_ranker": dataclasses.asdict(paired_difference(ours, theirs)),
    }


if __name__ == "__main__":
    typer.run(main)
