"""A Redis server of a test: a process of its own, in a folder of its own."""

import socket
import subprocess
import time
from pathlib import Path

import redis
from programs import needed

START_S = 20.0
DURABLE = {"appendonly": "yes", "appendfsync": "always", "save": ""}


class RedisServer:
    """A server on a free port of the loopback interface; started when made, ended with a block.

    Args:
        folder: Where it keeps its files; one that was used before is taken up again.
        settings: Of redis.conf, in place of `DURABLE`.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self._program = needed("redis-server")
        self.folder = folder
        self._settings = DURABLE | {name.replace("_", "-"): v for name, v in settings.items()}
        self._password = self._settings.get("requirepass")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "daemonize": "no",
            "logfile": str(self.folder / "server.log"),
            **self._settings,
        }
        command = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([self._program, *command])
        deadline = time.monotonic() + START_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError as error:
                    is_ended = self._process.poll() is not None
                    if is_ended or time.monotonic() > deadline:
                        self.kill()
                        told = (self.folder / "server.log").read_text()
                        raise RuntimeError(f"redis-server did not start:\n{told}") from error
                    time.sleep(0.01)

    def client(self) -> redis.Redis:
        """Return a client, to look at what the server holds."""
        return redis.Redis(port=self.port, password=self._password, protocol=2)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        self._process.terminate()
        self._process.wait(timeout=START_S)
