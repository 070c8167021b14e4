"""Load as a shop makes it, through our client: lists are asked for, and what happens is told.

Of ten requests six ask for a list, three tell events that are new, and one tells events again that
were acknowledged before. Answers are looked at, and what was acknowledged is kept, so that it can
be compared with the event log afterwards.
"""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import orjson

from benchmarks.serving.synthetic_shop import user_name
from features.event_log.of_store import event_log_of
from features.store import Store
from serving.client import Client
from serving.errors import ClientError

K = 20
MAX_EVENTS = 50
_AT_ONCE = 10_000
Event = dict[str, object]


@dataclass(kw_only=True)
class _Done:
    """What one thread did."""

    num_answers: int = 0
    failures: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    acknowledged: list[list[Event]] = field(default_factory=list)
    unanswered: list[list[Event]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What became of events in the event log.

    Attributes:
        acknowledged: Events that the server said are on the disk.
        lost: Of these, those that are not in the log.
        doubled: Events that are there more than once.
        torn: Requests of which a part is there.
    """

    acknowledged: int
    lost: int
    doubled: int
    torn: int


class MixedLoad:
    """Threads that use one client, while the block runs.

    Args:
        url: Of the server.
        num_users: Users are drawn uniformly among so many.
        num_items: What they view is drawn uniformly among so many.
        num_threads: Each has one request under way at most.
        pause_s: Of a thread after an answer, in the mean.
        seed: Of what is asked and told.
    """

    def __init__(
        self,
        url: str,
        *,
        num_users: int,
        num_items: int,
        num_threads: int = 8,
        pause_s: float = 0.02,
        seed: int = 0,
    ) -> None:
        self._url, self._num_users, self._num_items = url, num_users, num_items
        self._num_threads, self._pause_s, self._seed = num_threads, pause_s, seed
        self._run = uuid.uuid4().hex[:8]
        self._is_over = threading.Event()
        self._done = [_Done() for _ in range(num_threads)]
        self._threads: list[Future[None]] = []

    def __enter__(self) -> "MixedLoad":
        """Begin."""
        self._client = Client(self._url)
        self._pool = ThreadPoolExecutor(self._num_threads)
        self._threads = [
            self._pool.submit(self._ask_on, number, done) for number, done in enumerate(self._done)
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, once all that is under way is answered."""
        self._is_over.set()
        self._pool.shutdown()
        self._client.close()
        if error is None:
            for thread in self._threads:
                thread.result()

    @property
    def num_answers(self) -> int:
        """How many answers were as they should be, until now."""
        return sum(done.num_answers for done in self._done)

    @property
    def failures(self) -> list[str]:
        """What came of requests that were not answered as they should be, until now."""
        return [failure for done in self._done for failure in list(done.failures)]

    @property
    def versions(self) -> Counter[str]:
        """How many lists each bundle made, until now."""
        return sum((done.versions.copy() for done in self._done), Counter())

    def wait_for(self, num_answers: int, limit_s: float = 60.0) -> None:
        """Wait until so many more answers have come.

        Raises:
            RuntimeError: If it takes longer.
        """
        end, wanted = time.monotonic() + limit_s, self.num_answers + num_answers
        while self.num_answers < wanted:
            if time.monotonic() > end:
                raise RuntimeError(f"no {num_answers} answers within {limit_s:.0f} s")
            time.sleep(0.02)

    def kept(self, store: Path) -> Kept:
        """Compare what was acknowledged with the event log of a store, after the block."""
        log = event_log_of(Store(store), make=False)
        assert log is not None, f"there is no event log in {store}"
        times: Counter[str] = Counter()
        try:
            after = 0
            while entries := log.read(after, _AT_ONCE):
                after = entries[-1].position
                times.update(
                    orjson.loads(entry.content)["event_id"]
                    for entry in entries
                    if entry.kind == "event"
                )
        finally:
            log.close()
        told = [_ids(batch) for done in self._done for batch in done.acknowledged]
        untold = [_ids(batch) for done in self._done for batch in done.unanswered]
        return Kept(
            acknowledged=sum(map(len, told)),
            lost=sum(not times[event_id] for batch in told for event_id in batch),
            doubled=sum(count > 1 for count in times.values()),
            torn=sum(0 < sum(event_id in times for event_id in ids) < len(ids) for ids in untold),
        )

    def _ask_on(self, number: int, done: _Done) -> None:
        rng = random.Random(f"{self._seed} {number}")
        num_told = 0
        while not self._is_over.wait(rng.expovariate(1.0) * self._pause_s):
            drawn = rng.random()
            if drawn < 0.1 and done.acknowledged:
                batch = rng.choice(done.acknowledged)
                self._attempt(done, lambda batch=batch: self._tell_again(batch))
            elif drawn < 0.4:
                size = rng.randint(1, MAX_EVENTS)
                batch = [
                    self._event(rng, f"{self._run}-{number}-{num_told + each}")
                    for each in range(size)
                ]
                num_told += size
                is_acknowledged = self._attempt(done, lambda batch=batch: self._tell(batch))
                (done.acknowledged if is_acknowledged else done.unanswered).append(batch)
            else:
                user_id = user_name(rng.randrange(self._num_users))
                self._attempt(done, lambda user_id=user_id: self._ask(user_id, done))

    def _attempt(self, done: _Done, request: Callable[[], str | None]) -> bool:
        """Send a request; tells whether it was answered as it should be."""
        try:
            wrong = request()
        except ClientError as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong is None:
            done.num_answers += 1
        else:
            done.failures.append(wrong)
        return wrong is None

    def _ask(self, user_id: str, done: _Done) -> str | None:
        answer = self._client.recommend(user_id=user_id, k=K)
        done.versions[answer.model_version] += 1
        num_items = len({item.item_id for item in answer.items})
        return None if num_items == K else f"{num_items} different items of {K}"

    def _tell(self, batch: list[Event]) -> str | None:
        # Known are those whose first answer was lost on its way: the client sent them again.
        answer = self._client.send_events(batch)
        is_whole = (answer.added, answer.known) in ((len(batch), 0), (0, len(batch)))
        return None if is_whole else f"of {len(batch)} new events: {answer}"

    def _tell_again(self, batch: list[Event]) -> str | None:
        answer = self._client.send_events(batch)
        is_known = (answer.added, answer.known) == (0, len(batch))
        return None if is_known else f"of {len(batch)} events that were acknowledged: {answer}"

    def _event(self, rng: random.Random, event_id: str) -> Event:
        return {
            "event_id": event_id,
            "user_id": user_name(rng.randrange(self._num_users)),
            "event_type": "view",
            "item_id": f"i{rng.randrange(self._num_items):07}",
        }


def _ids(batch: list[Event]) -> list[str]:
    return [str(event["event_id"]) for event in batch]
