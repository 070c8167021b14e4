"""How fast lists are answered, and how that grows with the catalogue.

- saturated: 64 connections, each asks again at once.
- half: 128 connections that pause, exponentially, so long that they ask half of what was answered
  when saturated. A pause is many times an answer, so a slow answer hardly keeps others from being
  asked.
- alone: one connection.

Beside it, before and after, under the same command, HAProxy and load: a FastAPI application that
answers an empty object. Each load is repeated; figures are medians. Nothing is refused and every
list is whole, however busy the machine is: neither server has a deadline or a limit of waiting that
these loads reach.
"""

import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.harness import spread
from benchmarks.serving.load import Load, Measured, measure
from benchmarks.serving.references import differing_answers
from benchmarks.serving.servers import Running, running
from benchmarks.serving.synthetic_shop import NUM_USERS
from serving.processes import free_port

SIZES = (10_000, 100_000, 1_000_000)
PAUSING = 128
COMPARED_USERS = 1000
_UNHURRIED = "[serve]\ndeadline_ms = 60000\nmax_wait_ms = 10000\n"


def throughput(
    stores: Mapping[int, Path], load: Load, *, repeats: int, replicas: int, console: Console
) -> dict[str, Any]:
    """Load shops of several sizes, print a table, and return the figures.

    Args:
        stores: Published shops by number of items.
        load: That saturates a server.
        repeats: Loads of each kind.
        replicas: Processes that answer.
        console: Takes the table.
    """
    some_store = next(iter(stores.values()))
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        config = Path(folder) / "sentirec.toml"
        config.write_text(_UNHURRIED)

        def serving(store: Path, *, is_noop: bool = False) -> AbstractContextManager[Running]:
            arguments = ["--insecure", "--config", str(config)]
            return running(store, free_port(), replicas, is_noop=is_noop, arguments=arguments)

        noops = []
        with serving(some_store, is_noop=True) as server:
            noops.append(_repeated(server.url, load, repeats))
        found = {}
        for num_items, store in stores.items():
            with serving(store) as server:
                found[num_items] = _measured(server, store, load, repeats)
        with serving(some_store, is_noop=True) as server:
            noops.append(_repeated(server.url, load, repeats))
    noop = [measured.requests_per_s for each in noops for measured in each]
    figures = _figures(found, noop)
    _print(found, noop, figures, console)
    return {
        **figures,
        "noop": spread(noop),
        "by_num_items": {str(num_items): of_size for num_items, of_size in found.items()},
    }


def _measured(server: Running, store: Path, load: Load, repeats: int) -> dict[str, Any]:
    """Return the spread of every figure of one shop."""
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

    middle = SIZES[1] if SIZES[1] in found else next(iter(found))
    noop_rate, rate = statistics.median(noop), median(middle, "saturated", "requests_per_s")
    least, most = SIZES[0], SIZES[-1]
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


def _print(
    found: dict[int, dict[str, Any]],
    noop: list[float],
    figures: dict[str, Any],
    console: Console,
) -> None:
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
    console.print(table)
    growth = figures["p50_growth_10k_to_1m"]
    if growth is not None:
        console.print(f"p50 alone grows {growth:.2f} times from 10,000 to 1,000,000 items")


def _told(figure: dict[str, float], digits: int = 1) -> str:
    return f"{figure['median']:.{digits}f} ({figure['min']:.{digits}f}..{figure['max']:.{digits}f})"
