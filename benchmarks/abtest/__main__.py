"""Whether experiments are read as they should be, and how fast.

python -m benchmarks.abtest [--only PART ...] [--simulations 10000] [--work FOLDER] [--json FILE]

Parts: inference (coverage and size), cuped (variance cut), sequential (looks), off-policy (DR in
simulated logs, and the sample shop), speed (ten million exposures, pandas beside it).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.abtest.inference import run_cuped, run_inference
from benchmarks.abtest.off_policy import run_off_policy
from benchmarks.abtest.sequential import run_sequential
from benchmarks.abtest.speed import run_speed
from benchmarks.harness import write


@dataclass(frozen=True, kw_only=True)
class Options:
    """What parts may want to know."""

    num_simulations: int
    num_logs: int
    num_exposures: int
    repeats: int
    seed: int
    work: Path


PARTS: dict[str, Callable[[Options], Iterator[dict[str, Any]]]] = {
    "inference": lambda options: run_inference(options.num_simulations, options.seed),
    "cuped": lambda options: run_cuped(options.num_simulations, options.seed),
    "sequential": lambda options: run_sequential(options.num_simulations, options.seed),
    "off-policy": lambda options: run_off_policy(
        num_simulations=options.num_simulations, num_logs=options.num_logs
    ),
    "speed": lambda options: run_speed(
        options.work, options.num_exposures, options.repeats, options.seed
    ),
}


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}.")] = None,
    simulations: Annotated[int, typer.Option(min=500, help="Of each case.")] = 10_000,
    logs: Annotated[int, typer.Option(min=1, help="Of the sample shop, off-policy.")] = 200,
    exposures: Annotated[int, typer.Option(min=1000, help="Of the speed part.")] = 10_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Of the speed part.")] = 2,
    seed: int = 7,
    work: Annotated[Path, typer.Option(help="Where generated logs lie.")] = Path(
        "runs/abtest_speed"
    ),
    json: Annotated[Path | None, typer.Option(help="File to write.")] = None,
) -> None:
    """Run parts and print a table of each."""
    unknown = sorted(set(only or []) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    options = Options(
        num_simulations=simulations,
        num_logs=logs,
        num_exposures=exposures,
        repeats=repeats,
        seed=seed,
        work=work,
    )
    console, found = Console(width=160), {}
    for name in only or PARTS:
        start = time.perf_counter()
        found[name] = list(PARTS[name](options))
        console.print(_table(name, found[name]))
        console.print(f"{name}: {time.perf_counter() - start:.0f} s")
        write(json, {"options": {**vars(options), "work": str(work)}, "parts": found})


def _table(name: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=name)
    for column in rows[0]:
        table.add_column(column, justify="right" if column != next(iter(rows[0])) else "left")
    for row in rows:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
