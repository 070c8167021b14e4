"""A PostgreSQL server of a test: a process of its own, in a folder of its own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

import psycopg
from programs import needed

_OWNER = "postgres"
"""The server refuses to run as root: then it runs as this user, whom Debian's package makes."""


class PostgresServer:
    """A server on a free port of the loopback interface; started when made, ended with a block.

    Args:
        folder: Where its files go.
    """

    def __init__(self, folder: Path) -> None:
        self._control = needed("pg_ctl")
        self._user = _OWNER if os.geteuid() == 0 else None
        # The folders of pytest are closed to other users.
        self._data = folder / "data"
        if self._user:
            self._data = Path(tempfile.mkdtemp(prefix="postgres-"))
            owner = pwd.getpwnam(_OWNER)
            os.chown(self._data, owner.pw_uid, owner.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        try:
            self._run(needed("initdb"), "-A", "trust", "-U", "tester", "--no-sync")
            options = f"-h 127.0.0.1 -p {self.port} -k {self._data} -c fsync=off"
            self._run(self._control, "-w", "-l", str(self._data / "log"), "-o", options, "start")
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"PostgreSQL did not start:\n{error.stdout}") from error

    def __enter__(self) -> "PostgresServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._control, "-m", "immediate", "stop")
        shutil.rmtree(self._data)

    def database(self) -> str:
        """Make a database that nobody else has, and return its address."""
        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self._address(name)

    def _address(self, database: str) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [program, "-D", str(self._data), *arguments]
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL if "start" in arguments else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=self._user,
            cwd=self._data,
            text=True,
        )
