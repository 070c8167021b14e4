"""Start `sentirec serve` as a process of its own, ask it, and stop it."""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from features.store import Store
from jobs.errors import JobsError

READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A running endpoint."""

    url: str

    def recommend(self, user_id: str, *, k: int) -> dict[str, Any]:
        """Ask for k items for one user.

        Raises:
            JobsError: If the endpoint does not answer 200.
        """
        response = httpx.post(
            f"{self.url}/v1/recommendations",
            json={"user_id": user_id, "k": k, "explain": True},
            timeout=30.0,
        )
        if response.status_code != httpx.codes.OK:
            raise JobsError(f"the endpoint answered {response.status_code}: {response.text[:500]}")
        return response.json()


@contextmanager
def served_endpoint(store: Store, port: int) -> Iterator[Endpoint]:
    """Serve a store's live bundle on loopback while the block runs.

    Args:
        store: A local store with a published bundle.
        port: Port; 0 takes a free one.

    Raises:
        JobsError: If the endpoint is not ready in time, or does not stop cleanly.
    """
    port = port or _free_port()
    log_path = store.path("serve.log")
    # For as long as the block runs, and for this machine alone.
    command = [sys.executable, "-m", "jobs.cli", "serve", "--json", "--insecure"]
    command += ["--store", store.root, "--port", str(port)]
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield Endpoint(url=_wait_until_ready(process, log_path))
        finally:
            _stop(process, log_path)


def _wait_until_ready(process: subprocess.Popen[str], log_path: Path) -> str:
    """Return the address from the line of JSON that `serve` prints once it is ready."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY_WITHIN_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            line = process.stdout.readline()
            if not line:
                break
            if line.startswith("{"):
                return json.loads(line)["url"]
    raise JobsError(f"the endpoint did not become ready: {_tail(log_path)}")


def _stop(process: subprocess.Popen[str], log_path: Path) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = -signal.SIGKILL
    finally:
        if process.stdout is not None:
            process.stdout.close()
    if code != 0 and sys.exc_info()[0] is None:
        raise JobsError(f"the endpoint ended with exit code {code}: {_tail(log_path)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()[-5:]
    return os.linesep.join(lines) or f"see {path}"
