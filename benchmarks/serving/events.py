"""Events that are told in batches of 50 over several connections: how many a second are on disk."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.serving.load import Load, Measured, measure
from features.event_log.of_store import event_log_of
from features.store import Store

BATCH = 50
CONNECTIONS = 16
_AT_ONCE = 50_000


@dataclass(frozen=True, kw_only=True)
class Told:
    """What became of events.

    Attributes:
        loads: One for each repeat.
        lost: How many fewer events are in the log than were acknowledged.
        in_log: How many came to be there.
    """

    loads: list[Measured]
    lost: int
    in_log: int

    @property
    def acknowledged_per_s(self) -> list[float]:
        """Events that were acknowledged a second, of each load."""
        return [BATCH * each.requests_per_s for each in self.loads]


def tell_events(url: str, store: Path, load: Load, repeats: int) -> Told:
    """Tell events as fast as they are acknowledged.

    Args:
        url: Of the server.
        store: Where its event log is.
        load: Its connections, duration and users count.
        repeats: How often.
    """
    before = _num_events(store)
    # Of events of other runs on the same store, ids must differ.
    first_seed = int(time.time())
    telling = replace(load, connections=CONNECTIONS, kind="events", mean_pause_ms=0.0)
    warm_up = measure(url, replace(telling, duration_s=1, seed=first_seed))
    loads = [
        measure(url, replace(telling, seed=first_seed + each)) for each in range(1, repeats + 1)
    ]
    # What was under way at the end of a load is in the log, and was not counted.
    acknowledged = BATCH * sum(each.num_answers for each in [warm_up, *loads])
    in_log = _num_events(store) - before
    return Told(loads=loads, lost=max(0, acknowledged - in_log), in_log=in_log)


def _num_events(store: Path) -> int:
    """Count the events of a log."""
    log = event_log_of(Store(store), make=False)
    if log is None:
        return 0
    try:
        num_events, after = 0, 0
        while entries := log.read(after, _AT_ONCE):
            after = entries[-1].position
            num_events += sum(entry.kind == "event" for entry in entries)
        return num_events
    finally:
        log.close()
