"""The whole OpenAPI document, tried by schemathesis against a server: all phases, all checks."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from http_server import http_server
from live_shop import live_shop
from published_shop import Published

from features.api_keys import KeyRing, new_key, write_keys

NUM_EXAMPLES = 15
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.slow
def test_what_the_document_says_is_what_the_server_does(
    published: Published, tmp_path: Path
) -> None:
    kept, key = new_key(frozenset({"read", "write", "admin"}), now=datetime.now(UTC))
    write_keys(tmp_path / "keys.json", [kept])
    ring = KeyRing(tmp_path / "keys.json")
    with (
        live_shop(published.store, tmp_path / "log", keys=ring) as shop,
        http_server(shop.client.app) as url,
    ):
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)]
        command += ["run", f"{url}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {key}", "--checks", "all"]
        command += ["--phases", "examples,coverage,fuzzing,stateful", "--seed", "1"]
        command += ["--max-examples", str(NUM_EXAMPLES), "--no-color", "--continue-on-failure"]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=500, check=False, cwd=tmp_path
        )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]
