"""How well it is foreseen what people buy again, beside what was bought most often and last.

python -m benchmarks.repurchases --file ../shared/data/events/uci_online_retail.csv.gz
    [--cut 2011-07-01]... [--json F]

Of each cut, what customers buy again in the 30 days after it, among all that they bought before.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from features.store import Store
from jobs.ingest_tables import ingest
from recsys.repurchase import RepurchaseConfig
from recsys.repurchase_evaluation import evaluate_repurchases

_CUTS = ["2011-07-01", "2011-09-01", "2011-10-01"]
_METRICS = ("ndcg@10", "recall@10", "recall@100", "mrr")


def main(
    file: Annotated[Path, typer.Option(help="A log of purchases.")],
    cut: Annotated[list[str], typer.Option(help="Days from which on nothing is known.")] = _CUTS,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        report = ingest(store, [file], now=datetime.now(UTC))
        assert not report.errors, report.errors
        events, items = store.scan("events").collect(), store.scan("items").collect()
    found = {}
    table = Table("cut", "customers", "", *_METRICS)
    for day in cut:
        as_of = datetime.fromisoformat(day).replace(tzinfo=UTC)
        of_cut = evaluate_repurchases(events, items, as_of=as_of, config=RepurchaseConfig())
        assert of_cut is not None, f"nobody buys anything again in the days after {day}"
        found[day] = of_cut
        for name, metrics in of_cut.items():
            figures = (f"{metrics[metric]:.4f}" for metric in _METRICS)
            table.add_row(day, f"{metrics['num_users']:,.0f}", name, *figures)
    Console(width=120).print(table)
    write(json, {"metrics": found})


if __name__ == "__main__":
    typer.run(main)
