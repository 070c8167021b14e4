"""One Ray for a command: the cluster that `RAY_ADDRESS` names, or a local one that ends with it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ray_session() -> Iterator[None]:
    """Connect to Ray, or start a local one bound to loopback, and end what was started.

    A session inside another one joins it. Local Ray runs without dashboard and job API, since both
    run code for whoever reaches them.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    # A worker that leaves a checkpoint waits for the next look at it: by default two seconds.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    # Ray gives its workers the lowest priority but one; the work is done in them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    local = (
        {} if address else {"num_cpus": (os.cpu_count() or 1) + 1, "_node_ip_address": "127.0.0.1"}
    )
    ray.init(
        address=address or "local",
        include_dashboard=False if not address else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
        **local,
    )
    try:
        yield
    finally:
        ray.shutdown()
