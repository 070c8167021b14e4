"""Writers of the event log, and its server, killed at any moment: nothing acknowledged is lost."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis_server import RedisServer

from features.errors import EventLogError
from features.event_log import EventLog, Record, SqliteEventLog
from features.event_log.redis_address import RedisAddress
from features.event_log.redis_log import RedisEventLog

NUM_SERVER_KILLS = 20

_WRITER = """
import sys
from pathlib import Path
from features.event_log import Record, SqliteEventLog

if sys.argv[1].startswith("redis://"):
    from features.event_log.redis_address import RedisAddress
    from features.event_log.redis_log import RedisEventLog

    log = RedisEventLog(RedisAddress.parse(sys.argv[1]))
else:
    log = SqliteEventLog(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    number = int(line)
    log.append([
        Record(kind="event", key=f"{number}-{i}", user_id="u", received_at=1, content=b"x" * 200)
        for i in range(5)
    ])
    print(number, flush=True)
"""


def whole_batches(log: EventLog) -> set[int]:
    """Numbers of the batches of five that are there; fails where one is torn or doubled."""
    kept: dict[int, int] = {}
    for entry in log.read(0, 1_000_000):
        assert entry.content == b"x" * 200
        batch = int(entry.key.partition("-")[0])
        kept[batch] = kept.get(batch, 0) + 1
    assert set(kept.values()) == {5}, "a batch was torn or doubled"
    return set(kept)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "num_kills"), [("sqlite", 200), ("redis", 30)])
def test_a_killed_writer_loses_nothing_acknowledged(
    kind: str, num_kills: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "events.db")
    if kind == "redis":
        place = request.getfixturevalue("redis_log_address")
    rng = random.Random(0)
    acknowledged: set[int] = set()
    number = 0
    for _ in range(num_kills):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        ) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            deadline = time.monotonic() + rng.uniform(0.0, 0.05)
            killer = threading.Timer(deadline - time.monotonic(), writer.kill)
            killer.start()
            try:
                while True:
                    number += 1
                    writer.stdin.write(f"{number}\n")
                    writer.stdin.flush()
                    answered = writer.stdout.readline()
                    if not answered:
                        break
                    acknowledged.add(int(answered))
            except BrokenPipeError:
                pass
            assert writer.wait() == -signal.SIGKILL
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.close()

    log = (
        RedisEventLog(RedisAddress.parse(place)) if kind == "redis" else SqliteEventLog(Path(place))
    )
    kept = whole_batches(log)
    log.close()
    assert len(acknowledged) > num_kills
    assert acknowledged <= kept


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.mark.slow
def test_a_killed_server_loses_nothing_acknowledged(own_server: RedisServer) -> None:
    """The log is opened once; clients send a batch again until it is acknowledged."""
    log = RedisEventLog(RedisAddress.parse(own_server.address))
    tail = log.tail()
    is_over = threading.Event()
    num_failed = 0

    def send(client: int) -> list[int]:
        nonlocal num_failed
        sent: list[int] = []
        while not is_over.is_set():
            number = client + 4 * len(sent)
            batch = [
                Record(kind="event", key=f"{number}-{i}", user_id=f"u{number % 7}", received_at=1,
                       content=b"x" * 200)
                for i in range(5)
            ]  # fmt: skip
            while True:
                try:
                    outcomes = log.append(batch)
                except EventLogError:
                    num_failed += 1
                    time.sleep(0.005)
                else:
                    break
            # What a broken answer was about may be there: whole, or not at all.
            assert outcomes in (["added"] * 5, ["known"] * 5)
            sent.append(number)
        return sent

    def follow() -> list[int]:
        seen: list[int] = []
        while not is_over.is_set():
            with contextlib.suppress(EventLogError):
                seen += [entry.position for entry in tail.poll()]
        return seen

    rng = random.Random(0)
    with ThreadPoolExecutor(5) as pool:
        clients = [pool.submit(send, client) for client in range(4)]
        follower = pool.submit(follow)
        try:
            for _ in range(NUM_SERVER_KILLS):
                time.sleep(rng.uniform(0.02, 0.2))
                own_server.kill()
                own_server.start()
            time.sleep(0.1)
        finally:
            is_over.set()
        acknowledged = {number for client in clients for number in client.result()}
        seen = follower.result()

    kept = whole_batches(log)
    seen += [entry.position for entry in tail.poll()]
    assert num_failed >= NUM_SERVER_KILLS
    assert len(acknowledged) > NUM_SERVER_KILLS
    assert kept == acknowledged
    assert seen == [entry.position for entry in log.read(0, 1_000_000)]
    assert seen == sorted(set(seen))
    tail.close()
    log.close()
