"""`serve deploy serving/config.yaml` against a Ray cluster, of one node, that runs already."""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from published_shop import Published

from features.api_keys import FILE, new_key, write_keys
from features.errors import KeysError
from serving.cluster import ClusterArguments, recommendations
from serving.errors import NothingToServeError
from serving.processes import Process, end_processes, free_port, our_processes

CONFIG = Path(__file__).parents[2] / "serving" / "config.yaml"
READY_WITHIN_S = 150


@contextmanager
def ray_cluster(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Start a cluster's head and yield its dashboard's address and the environment to use."""
    dashboard, port = free_port(), free_port()
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "SENTIREC_TEST_CLUSTER": str(folder),
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += [f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=4"]
    command += ["--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1"]
    command += [f"--temp-dir={folder}", "--object-store-memory=80000000"]
    starting = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        command, env=starting, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        try:
            yield f"http://127.0.0.1:{dashboard}", environment
        finally:
            end_processes(of_cluster(str(folder)), grace_s=5)
            shutil.rmtree(folder, ignore_errors=True)


def of_cluster(mark: str) -> set[Process]:
    """Return the processes that have a mark in their environment."""
    found = set()
    for process in our_processes(mark):
        with suppress(OSError):
            if mark.encode() in Path(f"/proc/{process.pid}/environ").read_bytes():
                found.add(process)
    return found


def wait_for(url: str, client: httpx.Client) -> None:
    end, last = time.monotonic() + READY_WITHIN_S, ""
    while time.monotonic() < end:
        try:
            answered = client.get(url)
        except httpx.HTTPError as error:
            last = repr(error)
        else:
            if answered.status_code == 200:
                return
            last = answered.text
        time.sleep(0.5)
    raise AssertionError(f"{url} did not answer: {last}")


@pytest.mark.slow
def test_the_file_deploys_to_a_cluster(published: Published, tmp_path: Path) -> None:
    kept, key = new_key(frozenset({"read", "write"}), now=datetime.now(UTC))
    write_keys(published.root / FILE, [kept])
    toml = tmp_path / "sentirec.toml"
    toml.write_text(f'[store]\npath = "{published.root}"\n')
    port = free_port()
    config = yaml.safe_load(CONFIG.read_text())
    config["http_options"]["port"] = port
    for application in config["applications"]:
        application["args"]["config"] = str(toml)
    (tmp_path / "deployed.yaml").write_text(yaml.safe_dump(config))
    # Sockets have short paths.
    folder = Path("/tmp") / f"sr-cluster-{os.getpid()}"
    with (
        ray_cluster(folder) as (dashboard, environment),
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=30,
        ) as client,
    ):
        token = {"Authorization": f"Bearer {environment['RAY_AUTH_TOKEN']}"}
        with httpx.Client(trust_env=False, headers=token) as operator:
            wait_for(f"{dashboard}/api/version", operator)
        deployed = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("serve")), "deploy", "--address", dashboard),
                str(tmp_path / "deployed.yaml"),
            ],
            env={**environment, "PYTHONPATH": str(CONFIG.parents[1])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stderr
        wait_for("/readyz", client)
        answered = client.post("/v1/recommendations", json={"user_id": "u00001", "k": 3})
        assert answered.status_code == 200, answered.text
        assert len(answered.json()["items"]) == 3
        wait_for("/v1/sentiment/openapi.json", client)
        scored = client.post("/v1/sentiment", json={"text": "I love it."})
        assert scored.status_code == 200, scored.text
        assert scored.json()["polarity"] > 0
        review = {"review_id": "r1", "user_id": "u00001", "item_id": "i00001", "text": "Awful."}
        told = client.post("/v1/reviews", json=review).json()
        assert (told["outcome"], told["degraded"]) == ("added", None)
        assert told["polarity"] < 0
        bare = httpx.post(f"{client.base_url}/v1/recommendations", json={}, trust_env=False)
        assert bare.status_code == 401


def test_what_cannot_be_deployed_says_why(published: Published, tmp_path: Path) -> None:
    toml = tmp_path / "sentirec.toml"
    toml.write_text(f'[store]\npath = "{published.root}"\n')
    arguments = ClusterArguments(config=str(toml))
    with pytest.raises(KeysError, match="sentirec keys create"):
        recommendations(arguments)
    toml.write_text('[store]\npath = "nowhere"\n')
    with pytest.raises(NothingToServeError, match="no store at nowhere"):
        recommendations(arguments)
