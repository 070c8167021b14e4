"""Load by `wrk`, and what it says."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("recommend.lua")
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
        seed: Which users, and which pauses.
    """

    connections: int
    duration_s: int
    num_users: int
    mean_pause_ms: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a load found.

    Attributes:
        requests_per_s: Answers with status 200 a second.
        p50_ms: Median time from sending a request to its last byte.
        p99_ms: 99 in 100 are as fast.
        client_cpus: Cores that the client kept busy.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    client_cpus: float


def measure(url: str, load: Load) -> Measured:
    """Load a server with one thread of `wrk`.

    Raises:
        RuntimeError: If there is no `wrk`, or any request was not answered with status 200.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("there is no wrk: install it (Debian and Ubuntu: apt install wrk)")
    command = [program, "-t1", f"-c{load.connections}", f"-d{load.duration_s}s", "--timeout", "10s"]
    command += ["-s", str(_SCRIPT), url, "--"]
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
    if told["failed"] or told["refused"] or not told["requests"]:
        raise RuntimeError(f"not all requests were answered: {told}")
    return Measured(
        requests_per_s=told["requests"] / told["duration_s"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        client_cpus=(used.ru_utime + used.ru_stime) / told["duration_s"],
    )
