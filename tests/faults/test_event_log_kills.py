"""A writer of the event log that is killed at any moment: nothing acknowledged is lost or torn."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from features.event_log import SqliteEventLog

NUM_KILLS = 200

_WRITER = """
import sys
from pathlib import Path
from features.event_log import Record, SqliteEventLog

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


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    rng = random.Random(0)
    acknowledged: set[int] = set()
    number = 0
    for _ in range(NUM_KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)],
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

    log = SqliteEventLog(path)
    kept: dict[int, int] = {}
    for entry in log.read(0, 1_000_000):
        assert entry.content == b"x" * 200
        batch = int(entry.key.partition("-")[0])
        kept[batch] = kept.get(batch, 0) + 1
    log.close()
    assert len(acknowledged) > NUM_KILLS
    assert acknowledged <= set(kept)
    assert set(kept.values()) == {5}, "a batch was torn"
