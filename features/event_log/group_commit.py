"""Group commit: one thread commits, in one go, whatever was handed in since its last commit."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from features.errors import EventLogError

_Work = TypeVar("_Work")


@dataclass
class _Waiting(Generic[_Work]):
    work: _Work
    weight: int
    done: "Future[Any]" = field(default_factory=Future)


class GroupCommit(Generic[_Work]):
    """The writing thread of an event log.

    Args:
        name: Of the log, for messages.
        commit: Makes a group durable and returns one result for each part of it, in order; a part
            whose result is an exception failed alone. What it raises, the whole group failed with.
        max_weight: A group is full at this weight; a single part may be heavier.
        finish: Called by the thread at its end.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[list[_Work]], Sequence[object]],
        *,
        max_weight: int,
        finish: Callable[[], None],
    ) -> None:
        self._name = name
        self._commit = commit
        self._max_weight = max_weight
        self._finish = finish
        self._waiting: queue.SimpleQueue[_Waiting[_Work] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._thread.start()

    def put(self, work: _Work, weight: int = 1) -> "Future[Any]":
        """Hand in some work; the result comes once it is durable.

        Raises:
            EventLogError: If the log is closed.
        """
        waiting = _Waiting(work, weight)
        with self._closing:
            self.require_open()
            self._waiting.put(waiting)
        return waiting.done

    def require_open(self) -> None:
        """Raise `EventLogError` where the log is closed."""
        if self._is_closed:
            raise EventLogError(f"the event log {self._name} is closed")

    def close(self) -> None:
        """Finish what was handed in, then end the thread; safe to repeat."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._next_group()
            # Who does not want the result any more may have been told that it failed.
            group = [part for part in group if part.done.set_running_or_notify_cancel()]
            if group:
                self._commit_group(group)
        self._finish()

    def _next_group(self) -> tuple[list[_Waiting[_Work]], bool]:
        group: list[_Waiting[_Work]] = []
        weight = 0
        part = self._waiting.get()
        while part is not None:
            group.append(part)
            weight += part.weight
            if weight >= self._max_weight:
                return group, False
            try:
                part = self._waiting.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit_group(self, group: list[_Waiting[_Work]]) -> None:
        try:
            results = self._commit([part.work for part in group])
        except Exception as error:
            told = error
            if not isinstance(error, EventLogError):
                told = EventLogError(f"cannot write the event log {self._name}: {error}")
                told.__cause__ = error
            results = [told] * len(group)
        for part, result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                part.done.set_exception(result)
            else:
                part.done.set_result(result)
