"""How fast the endpoint answers, and what its callers notice of faults and overload.

python -m benchmarks.serving [--quick] [--only PART ...] [--json F] [--work FOLDER]

Synthetic shops of 100,000 users, see `synthetic_shop`: nine kinds of sources, 300 candidates, 240
trees. The real command serves them; client and server share the machine, and what the client takes
of it is told. Parts, each in a module of its name; figures by their keys in the JSON, where what is
repeated is a median:

- throughput: `wrk` draws users uniformly and asks for 20 items without reasons.
  throughput_ratio_to_noop, requests_per_s, noop_requests_per_s, p50_ms and p99_ms (64 connections),
  p99_over_p50_at_64, p50_half_load_ms, p99_half_load_ms, p50_growth_10k_to_1m, start_s_1m,
  client_cpu_share (cores), answers_equal; noop and by_num_items have the spreads.
- events: `wrk` tells batches of 50 events over 16 connections.
  events_acknowledged_per_s, events_batch_p50_ms, events_batch_p99_ms, events_lost,
  events_client_cpus, events_spread.
- kills: replicas are killed under mixed load, one after the other, through our client.
  kills, kills_answers, kills_answers_per_s, kills_failed_answers, kills_failures (the first of
  them), kills_events_acknowledged, kills_events_lost, kills_events_doubled, kills_events_torn,
  kills_recovery_s, kills_spread (of it).
- swaps: bundles are promoted, rolled back and broken under mixed load, through our client.
  swaps, swaps_answers, swaps_failed_answers, swaps_failures, swaps_lists (by bundle),
  swaps_events_lost, swaps_events_doubled, swaps_seen_after_s, swaps_reload_error.
- overload: five times what is answered at saturation.
  overload_factor, overload_saturated_per_s, overload_saturated_p99_ms, overload_accepted_per_s,
  overload_refused_share, overload_refused_p50_ms, overload_accepted_p50_ms,
  overload_accepted_p99_ms, overload_accepted_degraded_share, overload_p99_ratio,
  overload_wrong_answers, overload_recovery_s, overload_client_cpus, overload_probe_cpus,
  overload_num_probes.

Cores that a client kept busy are told as client_cpu_share and *_client_cpus.
"""

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import spread, write
from benchmarks.serving.events import tell_events
from benchmarks.serving.kills import survive_kills
from benchmarks.serving.load import Load
from benchmarks.serving.mixed_load import MixedLoad
from benchmarks.serving.overload import overload
from benchmarks.serving.replicas import wait_until_up
from benchmarks.serving.servers import Running, running
from benchmarks.serving.swaps import survive_swaps
from benchmarks.serving.synthetic_shop import NUM_USERS, publish_synthetic_shop
from benchmarks.serving.throughput import SIZES, throughput
from recsys.bundle_versions import BUNDLES, CURRENT
from serving.processes import free_port

SATURATED = 64
FAULT_REPLICAS = 2
_SHOWN_FAILURES = 10
_console = Console(width=120)


class Part(StrEnum):
    """What can be run."""

    THROUGHPUT = "throughput"
    EVENTS = "events"
    KILLS = "kills"
    SWAPS = "swaps"
    OVERLOAD = "overload"


@dataclass(frozen=True, kw_only=True)
class _Run:
    """How much is done, and with what.

    Attributes:
        stores: Published shops by number of items, never written to.
        load: That saturates a server.
        repeats: Loads of each kind.
        replicas: Processes that answer where nothing breaks.
        num_kills: Replicas that are killed.
    """

    stores: dict[int, Path]
    load: Load
    repeats: int
    replicas: int
    num_kills: int

    @property
    def middle(self) -> Path:
        """The shop of 100,000 items where it is there."""
        return self.stores.get(SIZES[1]) or next(iter(self.stores.values()))


def main(
    quick: Annotated[bool, typer.Option(help="10,000 items only; short, few loads.")] = False,
    only: Annotated[list[Part] | None, typer.Option(help="Parts to run.  [default: all]")] = None,
    sizes: Annotated[list[int] | None, typer.Option(help="Items of the shops.")] = None,
    repeats: Annotated[int, typer.Option(help="Loads of each kind.")] = 5,
    seconds: Annotated[int, typer.Option(help="Of each load.")] = 8,
    replicas: Annotated[int, typer.Option(help="Processes of throughput and overload.")] = 1,
    kills: Annotated[int, typer.Option(help="Replicas that are killed.")] = 20,
    work: Annotated[
        Path | None, typer.Option(help="Keep shops here, and use those that are there.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    chosen = sizes or ([SIZES[0]] if quick else list(SIZES))
    if only and Part.THROUGHPUT not in only:
        chosen = [num_items for num_items in chosen if num_items <= SIZES[1]] or chosen[:1]
    repeats, seconds, kills = (2, 3, min(kills, 3)) if quick else (repeats, seconds, kills)
    folder = work or Path(tempfile.mkdtemp(prefix="serving-"))
    figures: dict[str, Any] = {}
    try:
        run = _Run(
            stores={num_items: _published(folder, num_items) for num_items in chosen},
            load=Load(connections=SATURATED, duration_s=seconds, num_users=NUM_USERS),
            repeats=repeats,
            replicas=replicas,
            num_kills=kills,
        )
        for part in only or list(Part):
            figures |= _PARTS[part](run)
    finally:
        if work is None:
            shutil.rmtree(folder, ignore_errors=True)
    settings = {
        "num_users": NUM_USERS,
        "sizes": chosen,
        "replicas": replicas,
        "fault_replicas": FAULT_REPLICAS,
        "repeats": repeats,
        "seconds": seconds,
    }
    write(json, {**figures, "settings": settings})


def _published(folder: Path, num_items: int) -> Path:
    store = folder / f"items_{num_items}"
    if not (store / BUNDLES / CURRENT).exists():
        _console.print(f"writing a shop of {num_items:,} items")
        store.mkdir(parents=True)
        publish_synthetic_shop(store, num_items)
    return store


def _throughput(run: _Run) -> dict[str, Any]:
    return throughput(
        run.stores, run.load, repeats=run.repeats, replicas=run.replicas, console=_console
    )


def _events(run: _Run) -> dict[str, Any]:
    with _own_shop(run) as (server, store, _):
        told = tell_events(server.url, store, run.load, run.repeats)
    return _shown(
        "events",
        {
            "acknowledged_per_s": statistics.median(told.acknowledged_per_s),
            "batch_p50_ms": statistics.median(each.p50_ms for each in told.loads),
            "batch_p99_ms": statistics.median(each.p99_ms for each in told.loads),
            "lost": told.lost,
            "client_cpus": statistics.median(each.client_cpus for each in told.loads),
            "spread": spread(told.acknowledged_per_s),
        },
    )


def _kills(run: _Run) -> dict[str, Any]:
    with _own_shop(run) as (_, store, load):
        found = survive_kills(load, store, num_replicas=FAULT_REPLICAS, num_kills=run.num_kills)
    figures = {
        "answers": found.num_answers,
        "answers_per_s": found.answers_per_s,
        "failed_answers": len(found.failures),
        "failures": found.failures[:_SHOWN_FAILURES],
        **{f"events_{name}": figure for name, figure in asdict(found.kept).items()},
        "recovery_s": statistics.median(found.recovery_s),
        "spread": spread(found.recovery_s),
    }
    return {"kills": found.num_kills} | _shown("kills", figures)


def _swaps(run: _Run) -> dict[str, Any]:
    with _own_shop(run) as (server, store, load):
        found = survive_swaps(load, server.url, store)
    figures = {
        "answers": found.num_answers,
        "failed_answers": len(found.failures),
        "failures": found.failures[:_SHOWN_FAILURES],
        "lists": found.lists,
        **{f"events_{name}": figure for name, figure in asdict(found.kept).items()},
        "seen_after_s": statistics.median(found.seen_after_s),
        "reload_error": " | ".join(sorted(found.reload_errors)),
    }
    return {"swaps": found.num_swaps} | _shown("swaps", figures)


def _overload(run: _Run) -> dict[str, Any]:
    with running(run.middle, free_port(), run.replicas) as server:
        runs = [overload(server.url, run.load) for _ in range(max(1, run.repeats // 2))]
    figures = {
        name: statistics.median(asdict(each)[name] for each in runs) for name in asdict(runs[0])
    }
    figures["p99_ratio"] = statistics.median(each.p99_ratio for each in runs)
    return _shown("overload", figures)


_PARTS: dict[Part, Callable[[_Run], dict[str, Any]]] = {
    Part.THROUGHPUT: _throughput,
    Part.EVENTS: _events,
    Part.KILLS: _kills,
    Part.SWAPS: _swaps,
    Part.OVERLOAD: _overload,
}


@contextmanager
def _own_shop(run: _Run) -> Iterator[tuple[Running, Path, MixedLoad]]:
    """Serve a copy of the smallest shop by several replicas, to be written to; and a load on it."""
    num_items = min(run.stores)
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        store = Path(folder) / "shop"
        shutil.copytree(run.stores[num_items], store, symlinks=True)
        with running(store, free_port(), FAULT_REPLICAS) as server:
            wait_until_up(FAULT_REPLICAS)
            yield server, store, MixedLoad(server.url, num_users=NUM_USERS, num_items=num_items)


def _shown(part: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Print figures, and return them under names that begin with their part's."""
    table = Table(show_header=False, title=part)
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.2f}" if isinstance(figure, float) else str(figure))
    _console.print(table)
    return {f"{part}_{name}": figure for name, figure in figures.items()}


if __name__ == "__main__":
    typer.run(main)
