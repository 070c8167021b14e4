"""How far a training of the two-tower is; free of torch, so that drivers can hand it on."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(kw_only=True)
class Progress:
    """What a training has come to, and all that decides how it goes on.

    Attributes:
        losses: Mean loss of each epoch.
        recalls: Recall@100 on the held-out rows after each epoch; empty without such rows.
        state: Of model, optimizers and random numbers on this worker; None before the first epoch.
        best: Weights of the epoch with the best recall on this worker; None without held-out rows.
    """

    losses: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    state: dict[str, Any] | None = None
    best: list[Any] | None = None

    def is_done(self, epochs: int, patience: int) -> bool:
        """Return whether there is nothing more to train."""
        if len(self.losses) >= epochs:
            return True
        if not patience or not self.recalls:
            return False
        return len(self.recalls) - 1 - int(np.argmax(self.recalls)) >= patience
