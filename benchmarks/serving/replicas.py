"""The replicas of a running server, as they are seen from outside: processes, and HAProxy's word.

The server is a child of this process, and the only one. Linux only.
"""

import csv
import os
import random
import re
import signal
import socket
import time
import uuid
from pathlib import Path

from serving.processes import our_processes

_REPLICA = b"ray::ServeReplica:sentirec:recommendations"
_HAPROXY = b"/haproxy"
_ADMIN = re.compile(r"^ *stats socket (\S+) ", re.MULTILINE)
_LOOK_EVERY_S = 0.1


def replica_pids() -> set[int]:
    """Return the processes that answer recommendations."""
    return {pid for pid, words in _ours() if words[0].startswith(_REPLICA)}


def process_ids() -> set[int]:
    """Return the processes of the server but for HAProxy's, which Ray renews as replicas change."""
    return {pid for pid, words in _ours() if not words[0].endswith(_HAPROXY)}


def num_up() -> int:
    """Return how many replicas HAProxy sends requests to.

    While it hands over to its successor that is none.
    """
    try:
        rows = csv.DictReader(_statistics().removeprefix("# ").splitlines())
    except (OSError, LookupError):
        return 0
    return sum(
        row["pxname"] == "http-sentirec"
        and row["svname"] != "BACKEND"
        and row["status"].startswith("UP")
        for row in rows
    )


def kill_one(rng: random.Random) -> int:
    """Kill one of the replicas, whatever it is doing, and return what its process id was."""
    pid = rng.choice(sorted(replica_pids()))
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_until_up(num_replicas: int, *, without: int | None = None, limit_s: float = 120.0) -> None:
    """Wait until so many replicas live and get requests.

    Args:
        num_replicas: How many.
        without: A process that was killed, and must not count any more.
        limit_s: How long to wait.

    Raises:
        RuntimeError: If it takes longer.
    """
    end = time.monotonic() + limit_s
    found = ""
    while time.monotonic() < end:
        pids, up = replica_pids(), num_up()
        if without not in pids and len(pids) == up == num_replicas:
            return
        found = f"{len(pids)} live, {up} are up"
        time.sleep(_LOOK_EVERY_S)
    raise RuntimeError(f"there were no {num_replicas} replicas within {limit_s:.0f} s: {found}")


def _ours() -> list[tuple[int, list[bytes]]]:
    """Return the processes below this one and the words of their command lines."""
    found = []
    # With a mark that nobody carries: those below this process alone.
    for process in our_processes(uuid.uuid4().hex):
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found.append((process.pid, words))
    return found


def _statistics() -> str:
    """Ask the HAProxy that was started last, whose statistics are of the present replicas.

    Raises:
        LookupError: If there is none, or its configuration is just being written.
        OSError: If it does not answer yet.
    """
    proxies = [(pid, words) for pid, words in _ours() if words[0].endswith(_HAPROXY)]
    if not proxies:
        raise LookupError("there is no HAProxy below this process")
    _, words = max(proxies)
    path = Path(os.fsdecode(words[words.index(b"-f") + 1]))
    address = _ADMIN.search(path.read_text() if path.exists() else "")
    if address is None:
        raise LookupError(f"{path} names no socket to ask at")
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(5.0)
        admin.connect(address[1])
        admin.sendall(b"show stat\n")
        return b"".join(iter(lambda: admin.recv(65_536), b"")).decode()
