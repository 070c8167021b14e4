"""Replicas that are killed while a shop asks and tells: what fails, what is lost."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.mixed_load import Kept, MixedLoad
from benchmarks.serving.replicas import kill_one, wait_until_up

_MOST_PAUSE_S = 1.0
"""Between all replicas being up and the next kill: one at any moment."""


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What a shop notices of kills.

    Attributes:
        num_kills: Replicas that were killed, one after the other.
        num_answers: Answers as they should be.
        failures: What came of requests that were not answered so, told one by one.
        kept: What became of events.
        recovery_s: After each kill, until as many replicas as before got requests.
        answers_per_s: Over the whole time.
    """

    num_kills: int
    num_answers: int
    failures: list[str]
    kept: Kept
    recovery_s: list[float]
    answers_per_s: float


def survive_kills(
    load: MixedLoad, store: Path, *, num_replicas: int, num_kills: int, seed: int = 0
) -> Survived:
    """Kill one replica after the other under a load, each once all are up again.

    Args:
        load: That has not begun.
        store: Where the event log of the server is.
        num_replicas: Of the server.
        num_kills: How many.
        seed: Of who is killed, and when.
    """
    rng = random.Random(seed)
    wait_until_up(num_replicas)
    recovery_s = []
    started = time.monotonic()
    with load:
        load.wait_for(50)
        for _ in range(num_kills):
            time.sleep(rng.uniform(0.0, _MOST_PAUSE_S))
            killed_at = time.monotonic()
            pid = kill_one(rng)
            wait_until_up(num_replicas, without=pid)
            recovery_s.append(time.monotonic() - killed_at)
        load.wait_for(50)
    return Survived(
        num_kills=num_kills,
        num_answers=load.num_answers,
        failures=load.failures,
        kept=load.kept(store),
        recovery_s=recovery_s,
        answers_per_s=load.num_answers / (time.monotonic() - started),
    )
