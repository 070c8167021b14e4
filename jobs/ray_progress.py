"""How far a Ray Train run is, told by its workers to the driver."""

import threading
from collections.abc import Callable
from typing import Any


class StepCounter:
    """An actor that counts steps, and keeps the result of a run."""

    def __init__(self) -> None:
        self._done = 0
        self._total = 0
        self._result: Any = None

    def advance(self, total: int) -> None:
        """Count one more step."""
        self._done, self._total = self._done + 1, total

    def reach(self, done: int, total: int) -> None:
        """Say how many steps are done, where a run goes on from an earlier one."""
        self._done, self._total = done, total

    def keep(self, result: Any) -> None:
        """Keep what a worker has to say at the end."""
        self._result = result

    def kept(self) -> Any:
        """Return what was kept, None where nothing was."""
        return self._result

    def known(self) -> tuple[int, int]:
        """Return steps done and steps in all; nothing is known before the first step."""
        return self._done, self._total


def watch(counter: Any, done: threading.Event, report: Callable[[int, int], None]) -> None:
    """Report what a counter knows, twice a second, until `done`."""
    import ray

    while not done.wait(0.5):
        steps, total = ray.get(counter.known.remote())
        if total:
            report(steps, total)
