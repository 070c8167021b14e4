"""Training by several processes that hold the same model and each read a part of every batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """This process among those that train together; torch.distributed is set up by whoever starts.

    Attributes:
        rank: Of this process, from 0; files are written by the first alone.
        size: Processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch, never empty: few rows are read more than once.

        >>> [Parallel(rank=rank, size=3).share(np.arange(4)).tolist() for rank in range(3)]
        [[0, 3], [1], [2]]
        """
        part = rows[self.rank :: self.size]
        return part if len(part) else rows[self.rank % len(rows) :][:1]

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes.

        A parameter that this process's part did not touch counts as zero.
        """
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        place = 0
        for parameter in parameters:
            assert parameter.grad is not None
            count = parameter.grad.numel()
            parameter.grad.copy_(flat[place : place + count].view_as(parameter.grad))
            place += count

    def agreed(self, decision: bool) -> bool:
        """Return what the first process decides."""
        if self.size == 1:
            return decision
        said = [decision]
        torch.distributed.broadcast_object_list(said, src=0)
        return said[0]


ALONE = Parallel()
