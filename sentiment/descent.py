"""Gradient descent in steps that are known beforehand, so that it can stop and go on anywhere.

Linear warm-up, a cosine to zero, gradients cut to a norm. No clock and no files: what is needed to
go on is handed to the caller.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

OnCheckpoint = Callable[[Callable[[], dict[str, Any]], int], None]


def parameter_groups(
    named: Sequence[tuple[str, nn.Parameter]], rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return optimizer groups: matrices decay, biases and scales do not."""
    trained = [parameter for _, parameter in named if parameter.requires_grad]
    return [
        {
            "params": [p for p in trained if (p.dim() > 1) is are_matrices],
            "lr": rate,
            "weight_decay": weight_decay if are_matrices else 0.0,
        }
        for are_matrices in (True, False)
    ]


def descend(
    groups: list[dict[str, Any]],
    num_steps: int,
    loss: Callable[[int], Tensor],
    *,
    warm_up: float,
    max_gradient: float,
    trained_state: Callable[[], dict[str, Tensor]],
    load_state: Callable[[dict[str, Tensor]], Any],
    resume: dict[str, Any] | None = None,
    on_checkpoint: OnCheckpoint = lambda state, step: None,
) -> None:
    """Run AdamW for `num_steps` steps.

    Args:
        groups: Parameters with their peak rates.
        num_steps: Steps in all, those before a resumption included.
        loss: Gives the loss of a step, counted from 0.
        warm_up: Share of the steps that warm up.
        max_gradient: Gradients are cut to this norm.
        trained_state: Gives the tensors to keep in a checkpoint.
        load_state: Puts them back.
        resume: What an earlier `on_checkpoint` was given; goes on after its step as if it had never
            stopped.
        on_checkpoint: Called after each step with a function that makes the state to keep, and the
            number of steps done.
    """
    optimizer = torch.optim.AdamW(groups)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(num_steps, warm_up))
    parameters = [parameter for group in groups for parameter in group["params"]]
    first = 0
    if resume is not None:
        load_state(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        rates.load_state_dict(resume["rates"])
        torch.set_rng_state(resume["random"])
        first = resume["step"]
    for step in range(first, num_steps):
        optimizer.zero_grad()
        loss(step).backward()
        nn.utils.clip_grad_norm_(parameters, max_gradient)
        optimizer.step()
        rates.step()

        def state(done: int = step + 1) -> dict[str, Any]:
            return {
                "model": trained_state(),
                "optimizer": optimizer.state_dict(),
                "rates": rates.state_dict(),
                "random": torch.get_rng_state(),
                "step": done,
            }

        on_checkpoint(state, step + 1)


def _rate(num_steps: int, warm_up: float) -> Callable[[int], float]:
    rising = max(1, round(num_steps * warm_up))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        share = (step - rising) / max(1, num_steps - rising)
        return 0.5 * (1 + float(np.cos(np.pi * min(1.0, share))))

    return factor
