"""A client that asks at times of its own, whether or not what it asked before was answered.

Requests are as far apart as those of independent visitors, and a request's time counts from when it
was due. At a low rate beside other load it sees what any client sees; every answer is looked at.
"""

import asyncio
import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from benchmarks.serving.synthetic_shop import user_name

TIMEOUT_S = 10.0
_WHOLE = b'"degraded":null'
_PROBLEM = b"content-type: application/problem+json"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One answer.

    Attributes:
        asked_at: When it was due to be asked, by `time.monotonic`.
        took_s: From then to its last byte.
        status: Of HTTP; 0 where no answer came.
        is_right: Whether it is a 200, or a 503 with problem details that says when to come again.
        is_degraded: Whether it is a list that says that it was made in a simpler way.
    """

    asked_at: float
    took_s: float
    status: int
    is_right: bool
    is_degraded: bool


class OpenLoop:
    """Asks for lists while the block runs.

    Args:
        url: Of the server.
        num_users: Users are drawn uniformly among so many.
        per_second: Requests, in the mean.
        seed: Of who is asked for, and when.
    """

    def __init__(self, url: str, *, num_users: int, per_second: float, seed: int = 0) -> None:
        self._place = urlsplit(url).hostname, urlsplit(url).port
        self._num_users, self._per_second = num_users, per_second
        self._rng = random.Random(seed)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_on()))
        self.seen: list[Seen] = []
        """All answers until now."""
        self.cpu_s = 0.0
        """What it cost, after the block."""

    def __enter__(self) -> "OpenLoop":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, once all that is under way is answered."""
        self._is_over.set()
        self._thread.join()

    def between(self, start: float, end: float) -> list[Seen]:
        """Return the answers to what was due within a time, by `time.monotonic`."""
        return [seen for seen in list(self.seen) if start <= seen.asked_at < end]

    async def _ask_on(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not self._is_over.is_set():
            due += self._rng.expovariate(self._per_second)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._ask(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)
        for _, writer in self._idle:
            writer.close()
        self.cpu_s = time.thread_time()

    async def _ask(self, due: float) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, head, body = await self._exchange()
        except (OSError, EOFError, TimeoutError):
            status, head, body = 0, b"", b""
        lines = head.lower().split(b"\r\n")
        is_told = _PROBLEM in lines and any(line.startswith(b"retry-after: ") for line in lines)
        self.seen.append(
            Seen(
                asked_at=due,
                took_s=time.monotonic() - due,
                status=status,
                is_right=status == 200 or (status == 503 and is_told),
                is_degraded=status == 200 and _WHOLE not in body,
            )
        )

    async def _exchange(self) -> tuple[int, bytes, bytes]:
        """Send one request, and return status, head and body of its answer."""
        user_id = user_name(self._rng.randrange(self._num_users))
        body = f'{{"user_id":"{user_id}","k":20,"explain":false}}'
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(*self._place)
        is_open = False
        try:
            writer.write(
                b"POST /v1/recommendations HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
            answered = await reader.readexactly(int(length))
            is_open = b"connection: close" not in lower
        finally:
            if is_open:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return int(head.split(b" ", 2)[1]), head, answered


def percentile_ms(seen: Sequence[Seen], percent: float) -> float:
    """Return the time within which so many in a hundred were answered, of one answer or more."""
    took = sorted(each.took_s for each in seen)
    return 1000 * took[min(len(took) - 1, math.ceil(len(took) * percent / 100) - 1)]
