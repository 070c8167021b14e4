"""How many threads torch computes with."""

import os

import torch


def use_threads(threads: int) -> None:
    """Let torch compute with some threads, or with as many as `OMP_THREAD_LIMIT` allows.

    Told to use more than OpenMP gives it, torch leaves a part of each result uncomputed and says
    nothing (2.13.0): half of the signals of a shop were not numbers.

    Args:
        threads: At least 1.
    """
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    allowed = int(limit) if limit.isdigit() and int(limit) > 0 else threads
    torch.set_num_threads(min(threads, allowed))
