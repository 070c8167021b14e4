"""The command from outside: a process, a port, signals, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from published_shop import Published

from recsys.bundle_versions import promote
from serving.config import ServeSection
from serving.processes import check_port, free_port, our_processes
from serving.request_guard import ARRIVAL_HEADER

COMMAND = [sys.executable, "-m", "jobs.cli", "serve"]
START_LIMIT_S = 180


def refused(*arguments: str, cwd: Path) -> str:
    """Run a command that must end at once with exit code 2, and return what it says."""
    ended = subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


@contextmanager
def serving(published: Published, port: int, log: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ["--store", str(published.root), "--port", str(port), "--json", "--insecure"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=published.root,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def names_of(pids: set[int]) -> set[str]:
    return {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}


@pytest.mark.slow
def test_from_start_to_stop(published: Published, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "stderr.txt"
    with serving(published, port, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        url = f"http://127.0.0.1:{port}"
        assert json.loads(line) == {"url": url, "model_version": "v1", "replicas": 1}
        ours = {found for found in our_processes("no mark") if is_below(found.pid, process.pid)}
        assert {"haproxy", "raylet", "gcs_server"} <= names_of({found.pid for found in ours})
        check_haproxy({found.pid for found in ours}, port)

        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            check_answers(client)
            check_sentiment(client)
            check_hot_swap(client, published)
            taken = refused("--store", str(published.root), "--port", str(port), cwd=tmp_path)
            assert f"port {port} on 127.0.0.1 is taken by haproxy" in taken

        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        assert process.stdout.read() == ""
        assert "Traceback" not in log.read_text()
    left = our_processes("no mark") & ours
    assert not left, names_of({found.pid for found in left})
    check_port("127.0.0.1", port)


def is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if pid == ancestor:
            return True
    return False


def check_haproxy(pids: set[int], port: int) -> None:
    """Ray writes the configuration; what we change in it must be there with this version of it."""
    (pid, *_) = [pid for pid in pids if names_of({pid}) == {"haproxy"}]
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    config = Path(arguments[arguments.index(b"-f") + 1].decode()).read_text()
    section = ServeSection()
    servers = [line.split() for line in config.splitlines() if line.strip().startswith("server ")]
    assert servers
    for server in servers:
        assert server[server.index("maxconn") + 1] == str(section.max_in_flight)
    assert f"timeout queue {section.max_wait_ms}ms" in config
    assert f"set-header {ARRIVAL_HEADER} %[date(0,us)]" in config
    # No other port is open, to the network or on this machine.
    binds = [line.split() for line in config.splitlines() if line.strip().startswith("bind ")]
    assert binds == [["bind", f"127.0.0.1:{port}"]], config


def check_answers(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert "/v1/recommendations" in client.get("/openapi.json").json()["paths"]
    answered = client.post("/v1/recommendations", json={"user_id": "u00001", "k": 3})
    assert answered.status_code == 200
    assert len(answered.json()["items"]) == 3
    assert answered.headers.get_list("x-request-id") == [answered.json()["request_id"]]
    # HAProxy refuses these by itself; what is no id is not given back.
    refused_ids = [
        client.request("FOO", "/", headers=headers).headers.get_list("x-request-id")
        for headers in ({"x-request-id": "mine"}, {"x-request-id": "a b"}, {})
    ]
    assert refused_ids[0] == ["mine"]
    assert all(len(ids) == 1 and len(ids[0]) == 36 for ids in refused_ids[1:])
    unknown = client.post("/v1/recommendations", json={"user_id": "nobody"}).json()
    assert unknown["degraded"] == "unknown_user"
    wrong = client.post("/v1/recommendations", json={"k": 0})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "k")
    for _ in range(20):
        long = client.post("/v1/recommendations", content=b" " * 2_000_000)
        assert (long.status_code, long.headers["content-type"]) == (413, "application/problem+json")
        assert client.get("/healthz").status_code == 200


def check_sentiment(client: httpx.Client) -> None:
    asked = {"text": "I love the sound. I wish it had a light.", "explain": True}
    answered = client.post("/v1/sentiment", json=asked)
    assert answered.status_code == 200, answered.text
    found = answered.json()
    assert found["polarity"] > 0
    assert [need["text"] for need in found["needs"]] == ["I wish it had a light"]
    assert answered.headers["x-request-id"] == found["request_id"]
    wrong = client.post("/v1/sentiment", json={"texts": "good"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")


def check_hot_swap(client: httpx.Client, published: Published) -> None:
    published.add_bundle("v2")
    promote(published.bundles, "v2")
    end = time.monotonic() + 30
    version = "v1"
    while version != "v2" and time.monotonic() < end:
        answered = client.post("/v1/recommendations", json={"user_id": "u00001"})
        assert answered.status_code == 200
        version = answered.json()["model_version"]
    assert version == "v2"


@pytest.mark.slow
def test_an_interrupt_while_starting_leaves_nothing(published: Published, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "stderr.txt"
    with serving(published, port, log) as process:
        end = time.monotonic() + START_LIMIT_S
        found: set[int] = set()
        while "raylet" not in names_of_living(found) and time.monotonic() < end:
            time.sleep(0.1)
            found = {p.pid for p in our_processes("no mark") if is_below(p.pid, process.pid)}
        ours = {p for p in our_processes("no mark") if p.pid in found}
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
    assert not our_processes("no mark") & ours
    check_port("127.0.0.1", port)


def names_of_living(pids: set[int]) -> set[str]:
    return names_of({pid for pid in pids if Path(f"/proc/{pid}").exists()})


def test_what_cannot_be_served_is_refused_before_anything_starts(
    published_once: Published, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    store = str(published_once.root)
    assert "there is no store at nowhere" in refused("--store", "nowhere", cwd=tmp_path)
    assert "no bundle is published in empty/bundles" in refused("--store", "empty", cwd=tmp_path)
    reachable = refused("--store", store, "--host", "0.0.0.0", "--insecure", cwd=tmp_path)
    assert "everybody could read what users bought" in reachable
    assert "sentirec keys create" in refused("--store", store, cwd=tmp_path)
    (tmp_path / "sentirec.toml").write_text("[serve]\nprot = 1\n")
    assert "unknown key serve.prot" in refused("--store", store, cwd=tmp_path)
