"""Processes and ports of one run of the server: which are ours, which are taken, what is left.

Ours are the descendants of this process, and whoever carries this run's mark in its environment or
its own folder in its command line: a child whose parent died is found that way. Linux only.
"""

import errno
import os
import signal
import socket
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from serving.errors import PortTakenError, ServeConfigError

_PROC = Path("/proc")


@dataclass(frozen=True, order=True)
class Process:
    """A process, told from a later one of the same id by when it started."""

    pid: int
    started: int
    """Clock ticks since boot."""


def our_processes(mark: str) -> set[Process]:
    """Return the living descendants of this process, and the living processes with the mark.

    Args:
        mark: A string that no other run has in its environment or command line.
    """
    parent_of: dict[Process, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (found := _read(int(entry.name))) is not None:
            process, parent = found
            parent_of[process] = parent
    children = defaultdict(list)
    for process, parent in parent_of.items():
        children[parent].append(process)
    ours: set[Process] = set()
    unseen = [os.getpid()]
    while unseen:
        below = children[unseen.pop()]
        ours.update(below)
        unseen.extend(process.pid for process in below)
    marked = {process for process in parent_of if _is_marked(process.pid, mark.encode())}
    return {process for process in ours | marked if process.pid != os.getpid()}


def drain(processes: set[Process], program: str, *, limit_s: float) -> None:
    """Let a program's processes take no new connections, finish what they have, and end.

    Args:
        processes: Where to look for the program.
        program: Its name; it must understand SIGUSR1 that way, as HAProxy does.
        limit_s: How long to wait.
    """
    running = {process for process in processes if _name(process.pid) == program}
    _signal(running, signal.SIGUSR1)
    _wait(running, limit_s)


def end_processes(processes: set[Process], *, grace_s: float) -> set[Process]:
    """Ask processes to end, and kill those that are still there after the grace time.

    Returns:
        The processes that had to be killed.
    """
    _signal(processes, signal.SIGTERM)
    left = _wait(processes, grace_s)
    _signal(left, signal.SIGKILL)
    _wait(left, grace_s)
    return left


def check_port(host: str, port: int) -> None:
    """Make sure that a port can be listened on.

    Raises:
        PortTakenError: If another process listens there; the message names it where it can be seen.
        ServeConfigError: If this machine has no such address, or the port needs more rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno != errno.EADDRINUSE:
                reason = error.strerror or str(error)
                raise ServeConfigError(f"cannot listen on {host} port {port}: {reason}") from error
            holder = _holder(port)
            raise PortTakenError(
                f"port {port} on {host} is taken{f' by {holder}' if holder else ''}: end that "
                "process or choose another --port"
            ) from error


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _read(pid: int) -> tuple[Process, int] | None:
    """Return a process and its parent's id; None where it is gone or only waits to be reaped."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, parent, started = fields[0], int(fields[1]), int(fields[19])
    return None if state in "ZX" else (Process(pid, started), parent)


def _is_marked(pid: int, mark: bytes) -> bool:
    for name in ("environ", "cmdline"):
        try:
            if mark in (_PROC / str(pid) / name).read_bytes():
                return True
        except OSError:
            continue
    return False


def _name(pid: int) -> str | None:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return None


def _is_alive(process: Process) -> bool:
    found = _read(process.pid)
    return found is not None and found[0] == process


def _signal(processes: set[Process], number: signal.Signals) -> None:
    for process in processes:
        if _is_alive(process):
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue


def _wait(processes: set[Process], limit_s: float) -> set[Process]:
    end = time.monotonic() + limit_s
    left = {process for process in processes if _is_alive(process)}
    while left and time.monotonic() < end:
        time.sleep(0.05)
        left = {process for process in left if _is_alive(process)}
    return left


def _holder(port: int) -> str | None:
    """Name the process that listens on a port, or None where it cannot be seen."""
    sockets = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = (_PROC / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if any(os.readlink(held) in sockets for held in (entry / "fd").iterdir()):
                return f"{_name(int(entry.name))} (process {entry.name})"
        except OSError:
            continue
    return None
