"""How fast the endpoint answers, and how that grows with the catalogue.

python -m benchmarks.serving [--quick] [--json F] [--work FOLDER]

Synthetic shops of 100,000 users, see `synthetic_shop`: nine kinds of sources, 300 candidates, 240
trees. The real command serves them with one replica; `wrk` draws users uniformly and asks for 20
items without reasons. Beside it, before and after, under the same command, HAProxy and load: a
FastAPI application that answers an empty object.

- saturated: 64 connections, each asks again at once.
- half: 128 connections that pause, exponentially, so long that they ask half of what was answered
  when saturated. A pause is many times an answer, so a slow answer hardly keeps others from being
  asked.
- alone: one connection.

Each load is repeated; figures are medians. Client and server share the machine: what the client
takes of it is told.
"""

import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import spread, write
from benchmarks.serving.load import Load, Measured, measure
from benchmarks.serving.references import differing_answers
from benchmarks.serving.servers import running
from benchmarks.serving.synthetic_shop import NUM_USERS, publish_synthetic_shop
from serving.processes import free_port

SATURATED, PAUSING = 64, 128
COMPARED_USERS = 1000
_SIZES = (10_000, 100_000, 1_000_000)
_console = Console(width=120)


def main(
    quick: Annotated[bool, typer.Option(help="10,000 items only, short and few loads.")] = False,
    sizes: Annotated[list[int] | None, typer.Option(help="Items of the shops.")] = None,
    repeats: Annotated[int, typer.Option(help="Loads of each kind.")] = 5,
    seconds: Annotated[int, typer.Option(help="Of each load.")] = 8,
    replicas: Annotated[int, typer.Option(help="Processes that answer.")] = 1,
    work: Annotated[
        Path | None, typer.Option(help="Keep shops here, and use those that are there.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    chosen = sizes or ([_SIZES[0]] if quick else list(_SIZES))
    repeats, seconds = (2, 3) if quick else (repeats, seconds)
    folder = work or Path(tempfile.mkdtemp(prefix="serving-"))
    load = Load(connections=SATURATED, duration_s=seconds, num_users=NUM_USERS)
    try:
        stores = {num_items: _published(folder, num_items) for num_items in chosen}
        some_store = next(iter(stores.values()))
        noops = [_measured_noop(some_store, load, repeats, replicas)]
        found = {
            num_items: _measured(store, load, repeats, replicas)
            for num_items, store in stores.items()
        }
        noops.append(_measured_noop(some_store, load, repeats, replicas))
    finally:
        if work is None:
            shutil.rmtree(folder, ignore_errors=True)
    noop = [measured.requests_per_s for each in noops for measured in each]
    figures = _figures(found, noop)
    _print(found, noop, figures)
    settings = {
        "num_users": NUM_USERS,
        "replicas": replicas,
        "repeats": repeats,
        "seconds": seconds,
    }
    write(
        json,
        {
            **figures,
            "settings": settings,
            "noop": spread(noop),
            "by_num_items": {str(num_items): of_size for num_items, of_size in found.items()},
        },
    )


def _published(folder: Path, num_items: int) -> Path:
    store = folder / f"items_{num_items}"
    if not (store / "bundles" / "current").exists():
        _console.print(f"writing a shop of {num_items:,} items")
        store.mkdir(parents=True)
        publish_synthetic_shop(store, num_items)
    return store


def _measured_noop(store: Path, load: Load, repeats: int, replicas: int) -> list[Measured]:
    with running(store, free_port(), replicas, is_noop=True) as server:
        return _repeated(server.url, load, repeats)


def _measured(store: Path, load: Load, repeats: int, replicas: int) -> dict[str, Any]:
    """Return the spread of every figure of one shop."""
    with running(store, free_port(), replicas) as server:
        saturated = _repeated(server.url, load, repeats)
        rate = statistics.median(each.requests_per_s for each in saturated)
        answer_ms = statistics.median(each.p50_ms for each in _repeated_alone(server.url, load, 1))
        pause_ms = 1000 * PAUSING / (rate / 2) - answer_ms
        pausing = replace(load, connections=PAUSING, mean_pause_ms=pause_ms)
        half = _repeated(server.url, pausing, repeats)
        alone = _repeated_alone(server.url, load, repeats)
        users = np.random.default_rng(1).choice(NUM_USERS, COMPARED_USERS, replace=False)
        differing = differing_answers(server.url, store, users.tolist())
    return {
        "start_s": server.start_s,
        "num_compared": len(users),
        "num_differing": len(differing),
        **{
            name: {
                figure: spread([asdict(each)[figure] for each in measured])
                for figure in asdict(measured[0])
            }
            for name, measured in (("saturated", saturated), ("half", half), ("alone", alone))
        },
    }


def _repeated(url: str, load: Load, repeats: int) -> list[Measured]:
    measure(url, replace(load, duration_s=2, seed=999))  # Warms up.
    return [measure(url, replace(load, seed=seed)) for seed in range(repeats)]


def _repeated_alone(url: str, load: Load, repeats: int) -> list[Measured]:
    return _repeated(url, replace(load, connections=1), repeats)


def _figures(found: dict[int, dict[str, Any]], noop: list[float]) -> dict[str, Any]:
    """Return the figures by name; of one shop, the one of 100,000 items where it is there."""

    def median(num_items: int, load: str, figure: str) -> float:
        return found[num_items][load][figure]["median"]

    middle = _SIZES[1] if _SIZES[1] in found else next(iter(found))
    noop_rate, rate = statistics.median(noop), median(middle, "saturated", "requests_per_s")
    least, most = _SIZES[0], _SIZES[-1]
    has_growth = least in found and most in found
    p50_ms, p99_ms = (median(middle, "saturated", figure) for figure in ("p50_ms", "p99_ms"))
    return {
        "throughput_ratio_to_noop": rate / noop_rate,
        "requests_per_s": rate,
        "noop_requests_per_s": noop_rate,
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        "p99_over_p50_at_64": p99_ms / p50_ms,
        "p50_half_load_ms": median(middle, "half", "p50_ms"),
        "p99_half_load_ms": median(middle, "half", "p99_ms"),
        "p50_growth_10k_to_1m": (
            median(most, "alone", "p50_ms") / median(least, "alone", "p50_ms")
            if has_growth
            else None
        ),
        "start_s_1m": found[most]["start_s"] if most in found else None,
        "client_cpu_share": median(middle, "saturated", "client_cpus"),
        "answers_equal": all(not of_size["num_differing"] for of_size in found.values()),
    }


def _print(found: dict[int, dict[str, Any]], noop: list[float], figures: dict[str, Any]) -> None:
    shown: dict[str, Callable[[dict[str, Any]], str]] = {
        "requests/s, 64 connections": lambda of: _told(of["saturated"]["requests_per_s"], 0),
        "of the no-op's": lambda of: (
            f"{of['saturated']['requests_per_s']['median'] / statistics.median(noop):.3f}"
        ),
        "p50 ms": lambda of: _told(of["saturated"]["p50_ms"]),
        "p99 ms": lambda of: _told(of["saturated"]["p99_ms"]),
        "client, cores": lambda of: _told(of["saturated"]["client_cpus"], 2),
        "requests/s, half": lambda of: _told(of["half"]["requests_per_s"], 0),
        "p50 ms, half": lambda of: _told(of["half"]["p50_ms"]),
        "p99 ms, half": lambda of: _told(of["half"]["p99_ms"]),
        "p50 ms, alone": lambda of: _told(of["alone"]["p50_ms"], 2),
        "start s": lambda of: f"{of['start_s']:.1f}",
        "answers that differ": lambda of: f"{of['num_differing']} of {of['num_compared']}",
    }
    table = Table(title=f"no-op: {_told(spread(noop), 0)} requests/s")
    table.add_column("median (least..greatest)")
    for num_items in found:
        table.add_column(f"{num_items:,} items", justify="right")
    for name, cell in shown.items():
        table.add_row(name, *(cell(of_size) for of_size in found.values()))
    _console.print(table)
    growth = figures["p50_growth_10k_to_1m"]
    if growth is not None:
        _console.print(f"p50 alone grows {growth:.2f} times from 10,000 to 1,000,000 items")


def _told(figure: dict[str, float], digits: int = 1) -> str:
    return f"{figure['median']:.{digits}f} ({figure['min']:.{digits}f}..{figure['max']:.{digits}f})"


if __name__ == "__main__":
    typer.run(main)
