import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from serving.errors import PortTakenError, ServeConfigError
from serving.processes import check_port, end_processes, free_port, our_processes

SLEEP = "import time; time.sleep(60)"
# Ends at once and leaves a child that nobody is the parent of.
ORPHAN = f"""
import subprocess, sys
command = [sys.executable, "-c", "{SLEEP}"]
print(subprocess.Popen(command, stdout=subprocess.DEVNULL).pid)
"""
STUBBORN = (
    f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); {SLEEP}"
)


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> str:
    return f"sentirec-test-{os.getpid()}-{request.node.name}"


@pytest.fixture
def orphan(mark: str) -> Iterator[int]:
    made = subprocess.run(
        [sys.executable, "-c", ORPHAN],
        env=os.environ | {"MARK": mark},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=30,
    )
    pid = int(made.stdout)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_children_are_ours() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as child:
        assert child.pid in {process.pid for process in our_processes("nobody has this mark")}
        child.kill()


def test_orphans_are_ours_by_their_mark_and_can_be_ended(orphan: int, mark: str) -> None:
    assert orphan not in {process.pid for process in our_processes("nobody has this mark")}
    ours = {process for process in our_processes(mark) if process.pid == orphan}
    assert len(ours) == 1
    assert not end_processes(ours, grace_s=10)
    assert orphan not in {process.pid for process in our_processes(mark)}


def test_who_does_not_end_when_asked_is_killed() -> None:
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        ours = {process for process in our_processes("none") if process.pid == child.pid}
        assert end_processes(ours, grace_s=0.3) == ours
        assert child.wait(10) == -signal.SIGKILL


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} .* \(process {os.getpid()}\)"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_a_free_port_is_free() -> None:
    check_port("127.0.0.1", free_port())


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(ServeConfigError, match=r"cannot listen on 203\.0\.113\.7 port"):
        check_port("203.0.113.7", free_port())
