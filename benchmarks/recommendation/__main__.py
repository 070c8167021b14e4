"""Everything that recommends, on real data: our sources and ranker beside tuned peers of RecTools.

python -m benchmarks.recommendation --data FOLDER --work FOLDER --peers PYTHON [--only NAME]
    [--json F]

`--data` holds the real files, `--peers` is the Python of an environment with
`benchmarks/recommendation/requirements.txt`. Peers are tuned on the validation part (the row before
the last, or the period before the split), within a budget of seconds each; ours are not tuned
here. All rank the whole catalogue for the same users, bought items excluded. Under `--work` lie the
peers' trials and lists: what is there is not done again.
"""

import json as json_lines
import subprocess
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from benchmarks.recommendation.data import DATA, hand_over, load
from jobs.config import Config
from jobs.evaluate_models import LEAVE_ONE_OUT, TIME_SPLIT, report_of
from jobs.ray_session import ray_session
from jobs.settings import recommender_config
from recsys.cuts import Cuts, positional_cuts, time_cuts
from recsys.evaluation import Evaluated, evaluate_lists
from recsys.fitting import fit_and_test
from recsys.intervals import mean_interval, paired_difference
from recsys.tower_fitting import fit_each
from recsys.world import ShopTables, World, build_world

PEER_SCRIPT = Path(__file__).with_name("rectools_peers.py")
PEERS = ("popular", "popular_of_days", "item_knn", "ease", "als", "bpr", "sasrec")
LIST_LENGTH = 200


def cuts_of(shop: ShopTables, split_at: datetime | None, num_learned: int) -> Cuts:
    """Return the worlds of the data set's own protocol."""
    if split_at is None:
        return positional_cuts(shop.events, shop.reviews, num_learned=num_learned, as_of=None)
    return time_cuts(shop.events, shop.reviews, split_at=split_at, num_learned=num_learned + 1)


def peer_lists(folder: Path, world: World) -> dict[str, tuple[Evaluated, list[dict[str, Any]]]]:
    """Measure the lists that peers left in a folder, and return them with the trials."""
    found = {}
    places = pl.DataFrame({"user_id": world.asked}).with_row_index("row")
    for file in sorted((folder / "lists").glob("*.parquet")):
        lists = (
            pl.read_parquet(file).join(places, on="user_id").filter(pl.col("rank") <= LIST_LENGTH)
        )
        item_idx = np.full((len(world.asked), LIST_LENGTH), -1, dtype=np.int64)
        item_idx[lists["row"], lists["rank"] - 1] = lists["item_id"]
        scores = np.broadcast_to(-np.arange(LIST_LENGTH, dtype=np.float64), item_idx.shape)
        trials = json_lines.loads(file.with_suffix(".json").read_text())
        found[f"rectools {file.stem}"] = (evaluate_lists(world, item_idx, scores), trials)
    return found


def run_one(
    name: str, data: Path, folder: Path, python: Path, seconds: float, peers: list[str]
) -> dict[str, Any]:
    """Let everybody take part on one data set."""
    config = recommender_config(Config())
    with ray_session():
        shop, split_at = load(DATA[name], data)
    cuts = cuts_of(shop, split_at, config.label_positions)
    for part, cut in (("validation", cuts.learned[-1]), ("test", cuts.test)):
        hand_over(build_world(shop, cut), folder / part)
    budget = ["--seconds", str(seconds), "--only", *peers]
    subprocess.run([python, PEER_SCRIPT, folder, *budget], check=True)
    start = time.perf_counter()
    fitted = fit_and_test(
        shop,
        cuts,
        config,
        fit_each,
    )
    timings = {"fit and test": time.perf_counter() - start}
    protocol = LEAVE_ONE_OUT if split_at is None else TIME_SPLIT
    of_peers = peer_lists(folder, fitted.test)
    everybody = fitted.evaluated | {peer: measured for peer, (measured, _) in of_peers.items()}
    ranker = everybody["ranker"]
    return report_of(fitted, shop, None, protocol=protocol, timings_s=timings).to_dict() | {
        "everybody": {
            who: measured.metrics
            | {
                "interval": mean_interval(measured.ndcg),
                "ranker_less_this": asdict(paired_difference(ranker.ndcg, measured.ndcg)),
            }
            for who, measured in everybody.items()
        },
        "trials": {peer: trials for peer, (_, trials) in of_peers.items()},
    }


def main(
    data: Annotated[Path, typer.Option(help="Folder of the real data.")],
    work: Annotated[Path, typer.Option(help="Folder for the peers' trials and lists.")],
    peers: Annotated[Path, typer.Option(help="Python of the peers' environment.")],
    peer: Annotated[list[str], typer.Option(help="Which peers; default: all.")] = [*PEERS],  # noqa: B006
    only: Annotated[list[str], typer.Option(help="Data sets; default: all.")] = [*DATA],  # noqa: B006
    seconds: Annotated[float, typer.Option(help="Of tuning, each peer and data set.")] = 1200.0,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=130)
    results = {}
    for name in only:
        results[name] = run_one(name, data, work / name, peers, seconds, peer)
        console.print(_table(name, results[name]))
        write(json, {"seconds": seconds, "results": results})


def _table(name: str, result: dict[str, Any]) -> Table:
    table = Table(title=f"{name}, {result['protocol']}, {result['data']['num_test_users']:,} users")
    table.add_column("", no_wrap=True)
    for column in ("ndcg@10 (95%)", "recall@10", "recall@100", "ranker less this (95%)", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    order = sorted(result["everybody"].items(), key=lambda found: found[1]["ndcg@10"])
    for who, found in order:
        low, high = found["interval"]
        gain = found["ranker_less_this"]
        table.add_row(
            who,
            f"{found['ndcg@10']:.4f} ({low:.4f}..{high:.4f})",
            f"{found['recall@10']:.4f}",
            f"{found['recall@100']:.4f}",
            f"{gain['difference']:+.4f} ({gain['low']:+.4f}..{gain['high']:+.4f})",
            f"{gain['p_value']:.4f}",
            style="bold" if who == "ranker" else None,
        )
    return table


if __name__ == "__main__":
    typer.run(main)
