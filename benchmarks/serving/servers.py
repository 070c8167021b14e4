"""Servers under load, each a process of its own: `sentirec serve` and one that does nothing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_SERVE = ("jobs.cli", "serve")
_DO_NOTHING = ("benchmarks.serving.noop",)
_STOPPED_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers.

    Attributes:
        url: Where.
        start_s: From starting the command to the first answer of `/readyz`.
    """

    url: str
    start_s: float


@contextmanager
def running(
    store: Path,
    port: int,
    replicas: int,
    *,
    is_noop: bool = False,
    arguments: Sequence[str] = ("--insecure",),
    log: Path | None = None,
) -> Iterator[Running]:
    """Start a server and end it with the block.

    Args:
        store: What to serve.
        port: Where to listen.
        replicas: Processes that answer.
        is_noop: Whether they do nothing.
        arguments: More flags of the command.
        log: Takes what it says on stderr; None for the stderr of this process.

    Raises:
        RuntimeError: If it does not come up.
    """
    command = [sys.executable, "-m", *(_DO_NOTHING if is_noop else _SERVE), "--json"]
    command += ["--store", str(store), "--port", str(port), "--replicas", str(replicas)]
    command += ["--sentiment-replicas", "0", *arguments]
    started = time.monotonic()
    with ExitStack() as stack:
        errors = None if log is None else stack.enter_context(log.open("w"))
        process = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                said = "" if log is None else f"\n{log.read_text()}"
                raise RuntimeError(f"the server did not come up: {' '.join(command)}{said}")
            yield Running(url=json.loads(line)["url"], start_s=time.monotonic() - started)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
