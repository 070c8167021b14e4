"""A small shop for servers that are treated badly; each test has a copy of its own."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from small_shop import NUM_ITEMS, NUM_REPLICAS, NUM_TREES, NUM_USERS, Serving

from benchmarks.serving.replicas import wait_until_up
from benchmarks.serving.servers import Running, running
from benchmarks.serving.synthetic_shop import publish_synthetic_shop
from serving.processes import free_port


@pytest.fixture(scope="session")
def published_small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by everybody: never written to."""
    store = tmp_path_factory.mktemp("small") / "shop"
    store.mkdir()
    publish_synthetic_shop(store, NUM_ITEMS, num_users=NUM_USERS, num_trees=NUM_TREES)
    return store


@pytest.fixture
def shop(published_small: Path, tmp_path: Path) -> Path:
    """A copy of its own, to write to."""
    store = tmp_path / "shop"
    shutil.copytree(published_small, store, symlinks=True)
    return store


@pytest.fixture
def serve(shop: Path, tmp_path: Path) -> Iterator[Serving]:
    """Serve the shop by two replicas until the test ends."""
    with ExitStack() as stack:

        def serve(*settings: str) -> Running:
            config = tmp_path / "sentirec.toml"
            config.write_text("\n".join(["[serve]", *settings, ""]))
            server = running(
                shop,
                free_port(),
                NUM_REPLICAS,
                arguments=["--insecure", "--config", str(config)],
                log=tmp_path / "stderr.txt",
            )
            started = stack.enter_context(server)
            wait_until_up(NUM_REPLICAS)
            return started

        yield serve
