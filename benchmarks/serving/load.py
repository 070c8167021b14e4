"""Load by `wrk`, and what it says."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_MARK = "MEASURED "


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of a server.

    Attributes:
        connections: Open at once; each has one request under way at most.
        duration_s: How long.
        num_users: Users are drawn uniformly among so many.
        mean_pause_ms: Of a connection, between an answer and its next request, drawn from an
            exponential distribution; 0 asks again at once.
        seed: Which users, and which pauses; in the ids of events, too.
        kind: `recommend` asks for lists, `events` tells 50 events at a time.
    """

    connections: int
    duration_s: int
    num_users: int
    mean_pause_ms: float = 0.0
    seed: int = 0
    kind: Literal["recommend", "events"] = "recommend"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a load found.

    Attributes:
        num_answers: Those with status 200.
        requests_per_s: As many a second.
        refused_per_s: Answers with another status a second; they count in the times below, too.
        p50_ms: Median time from sending a request to its last byte.
        p99_ms: 99 in 100 are as fast.
        client_cpus: Cores that the client kept busy.
    """

    num_answers: int
    requests_per_s: float
    refused_per_s: float
    p50_ms: float
    p99_ms: float
    client_cpus: float


def measure(url: str, load: Load, *, may_refuse: bool = False) -> Measured:
    """Load a server with one thread of `wrk`.

    Args:
        url: Of the server.
        load: What is asked of it.
        may_refuse: Whether an answer may have another status than 200.

    Raises:
        RuntimeError: If there is no `wrk`, any request was not answered, or not as it may be.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("there is no wrk: install it (Debian and Ubuntu: apt install wrk)")
    command = [program, "-t1", f"-c{load.connections}", f"-d{load.duration_s}s", "--timeout", "10s"]
    script = Path(__file__).with_name(f"{load.kind}.lua")
    command += ["-s", str(script), url, "--"]
    command += [str(load.num_users), str(load.mean_pause_ms), str(load.seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if process.returncode or line is None:
        raise RuntimeError(f"wrk failed: {output}")
    told = json.loads(line.removeprefix(_MARK))
    answered = told["requests"] - told["refused"]
    if told["failed"] or not answered or (told["refused"] and not may_refuse):
        raise RuntimeError(f"not all requests were answered: {told}")
    return Measured(
        num_answers=answered,
        requests_per_s=answered / told["duration_s"],
        refused_per_s=told["refused"] / told["duration_s"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        client_cpus=(used.ru_utime + used.ru_stime) / told["duration_s"],
    )
