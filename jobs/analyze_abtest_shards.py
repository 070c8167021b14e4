"""An experiment of any size, analysed in shards of users: tasks of Ray, or one after another.

The driver cuts both logs into shards in a scratch folder, and every step of the analysis is one
task a shard. The driver holds counts and sums, a task the users of one shard.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from jobs.errors import BadInputError
from jobs.partition_abtest_logs import Shard, partition
from jobs.ray_session import ray_session
from jobs.scan_abtest_logs import AbtestLogs
from recsys.abtest.parts import Each
from recsys.abtest.plan import Plan

# Logs of so many rows together are analysed as a whole, in some two gigabytes.
_WHOLE_ROWS = 25_000_000
_SHARD_ROWS = 5_000_000
MOST_SHARDS = 1000


def num_shards_for(logs: AbtestLogs) -> int:
    """Return how many shards logs are cut into by their number of rows: one is the whole."""
    rows = sum(log.select(pl.len()).collect(engine="streaming").item() for log in logs)
    if rows <= _WHOLE_ROWS:
        return 1
    return min(MOST_SHARDS, -(-rows // _SHARD_ROWS))


@contextmanager
def sharded(
    logs: AbtestLogs,
    plan: Plan,
    explored: list[str],
    *,
    num_shards: int,
    scratch: Path | None = None,
    with_ray: bool = True,
) -> Iterator[Each]:
    """Cut logs into shards, and yield what calls functions with every shard.

    The shards end with the block, also where it fails.

    Args:
        logs: Of exposures and outcomes.
        plan: Of the experiment.
        explored: Columns of exposures that are wanted beside those of the plan.
        num_shards: How many.
        scratch: Where the shards are written, in a folder of their own; a cluster needs one that
            all its machines see. None for the system's temporary folder.
        with_ray: Whether shards are tasks of Ray: of the cluster of `RAY_ADDRESS`, or of a local
            one.

    Raises:
        BadInputError: The scratch folder does not exist, or cannot be written.
    """
    if scratch is not None and not scratch.is_dir():
        raise BadInputError(f"there is no folder {scratch} to write shards into: make it first")
    with tempfile.TemporaryDirectory(prefix="sentirec-abtest-", dir=scratch) as folder:
        try:
            shards = partition(logs, plan, explored, Path(folder).resolve(), num_shards)
        except OSError as error:
            raise BadInputError(
                f"shards cannot be written to {folder}: {error}; give --scratch a folder with room"
            ) from error
        if not with_ray:
            yield lambda function, *arguments: [function(one, *arguments) for one in shards]
            return
        with ray_session():
            yield _as_tasks(shards)


def _as_tasks(shards: list[Shard]) -> Each:
    """Return what calls functions with every shard, in tasks of the Ray that is connected.

    After a failure no further task starts, and those that run are waited for, since none may still
    write when the scratch folder goes. None is cancelled: in Ray 2.60 a task that is cancelled
    while its reply arrives ends the driver.
    """
    import ray
    from ray.exceptions import RayTaskError

    # One processor a task: Polars may take no more of a machine that tasks share.
    task: Any = ray.remote(
        num_cpus=1, max_retries=2, runtime_env={"env_vars": {"POLARS_MAX_THREADS": "1"}}
    )(_call)

    def each(function: Callable[..., Any], *arguments: Any) -> list[Any]:
        told = ray.put(arguments)
        results: list[Any] = [None] * len(shards)
        places = iter(range(len(shards)))
        running: dict[Any, int] = {}
        try:
            while True:
                # As many wait as run, so that no processor is idle and a cluster sees to grow.
                room = 2 * int(ray.cluster_resources().get("CPU", 1)) - len(running)
                running |= {
                    task.remote(function, shards[place], told): place
                    for place in islice(places, max(room, 0))
                }
                if not running:
                    return results
                for done in ray.wait(list(running))[0]:
                    results[running.pop(done)] = ray.get(done)
        except RayTaskError as error:
            if running:
                ray.wait(list(running), num_returns=len(running))
            cause = error.cause
            raise cause if isinstance(cause, Exception) else error from None

    return each


def _call(function: Callable[..., Any], shard: Shard, arguments: tuple[Any, ...]) -> Any:
    return function(shard, *arguments)
