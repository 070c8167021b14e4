"""How far a fit of the two-tower is; free of torch, so that drivers can hand it on."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recsys.two_tower_config import TrainingConfig


@dataclass(kw_only=True)
class Progress:
    """What a fit has come to, and all that decides how it goes on.

    With `patience`, a first training with some rows held out finds how many epochs are good, and a
    second one is of that many epochs, on all rows. As long as recall is within one standard error
    of its best, more epochs are taken to be better: what they learn of the top of a ranking shows
    later than what they learn of its first hundred.

    Attributes:
        losses: Mean loss of each epoch of the present training.
        recalls: Recall@100 on the held-out rows after each epoch of the first training.
        num_held_out: How many rows those are.
        epochs: Of the second training; None before it, and where there is but one.
        state: Of model, optimizers and random numbers on this worker; None before the first epoch.
    """

    losses: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    num_held_out: int = 0
    epochs: int | None = None
    state: dict[str, Any] | None = None

    def share(self, config: TrainingConfig) -> float:
        """Return how much of the fit is done, in [0, 1]; each of two trainings counts a half."""
        if not config.patience:
            return len(self.losses) / config.epochs
        if self.epochs is None:
            return 0.5 * len(self.losses) / config.epochs
        return 0.5 + 0.5 * len(self.losses) / self.epochs

    def has_enough(self, config: TrainingConfig) -> bool:
        """Return whether the present training is done."""
        if len(self.losses) >= config.epochs:
            return True
        if not config.patience or not self.recalls:
            return False
        return len(self.recalls) - self.good_epochs >= config.patience

    @property
    def good_epochs(self) -> int:
        """The most epochs after which recall was within a standard error of its best, from 1."""
        recalls = np.array(self.recalls)
        best = recalls.max()
        error = np.sqrt(best * (1.0 - best) / max(1, self.num_held_out))
        return 1 + int(np.flatnonzero(recalls >= best - error)[-1])
