"""For all tests: examples of Hypothesis have no deadline, since machines may be busy."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from postgres_server import PostgresServer
    from redis_server import RedisServer

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[RedisServer]":
    """Shared by everybody: each test takes a prefix of its own. Nobody may stop it."""
    from redis_server import RedisServer

    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_log_address(redis_server: "RedisServer") -> str:
    """Address of an event log that nobody else has."""
    return f"{redis_server.address}?prefix={uuid4().hex}"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[PostgresServer]":
    """Shared by everybody: each test takes a database of its own. Nobody may stop it."""
    from postgres_server import PostgresServer

    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server
