"""A small shop, and the load on it."""

from collections.abc import Callable

from benchmarks.serving.mixed_load import MixedLoad
from benchmarks.serving.servers import Running

NUM_ITEMS, NUM_USERS, NUM_TREES = 2000, 2000, 20
NUM_REPLICAS = 2

Serving = Callable[..., Running]
"""Starts a server; takes lines of `[serve]`."""


def mixed_load(server: Running) -> MixedLoad:
    return MixedLoad(server.url, num_users=NUM_USERS, num_items=NUM_ITEMS)
