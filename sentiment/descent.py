"""Gradient descent in steps that are known beforehand, so that it can stop and go on anywhere.

Linear warm-up, a cosine to zero, gradients cut to a norm. No clock and no files: what is needed to
go on is handed to the caller.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sentiment.parallel import ALONE, Parallel


@dataclass(frozen=True, kw_only=True)
class DescentConfig:
    """What every training here is asked for.

    Attributes:
        epochs: Passes over the data.
        batch_tokens: Padded tokens of a step.
        learning_rate: Peak rate of AdamW.
        warm_up: Share of the steps in which the rate rises.
        weight_decay: Decoupled decay of matrices.
        max_gradient: Gradients are cut to this norm.
        bf16: Autocast to bfloat16; for GPUs, and CPUs that have it.
        seed: Of order, dropout and initial weights.
    """

    epochs: int = 1
    batch_tokens: int = 4096
    learning_rate: float = 1e-4
    warm_up: float = 0.06
    weight_decay: float = 0.01
    max_gradient: float = 1.0
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"warm_up must be within 0..1, not {self.warm_up}")


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
    config: DescentConfig,
    trained_state: Callable[[], dict[str, Tensor]],
    load_state: Callable[[dict[str, Tensor]], Any],
    resume: dict[str, Any] | None = None,
    on_checkpoint: OnCheckpoint = lambda state, step: None,
    stop: Callable[[int], bool] = lambda step: False,
    parallel: Parallel = ALONE,
) -> None:
    """Run AdamW for `num_steps` steps.

    Args:
        groups: Parameters with their peak rates.
        num_steps: Steps in all, those before a resumption included.
        loss: Gives the loss of a step, counted from 0.
        config: Warm-up and the norm of gradients are read from it.
        trained_state: Gives the tensors to keep in a checkpoint.
        load_state: Puts them back.
        resume: What an earlier `on_checkpoint` was given; goes on after its step as if it had never
            stopped.
        on_checkpoint: Called after each step with a function that makes the state to keep, and the
            number of steps done.
        stop: Called after each step with the number of steps done; True ends the descent.
        parallel: Who else descends; gradients are averaged.
    """
    parameters = [parameter for group in groups for parameter in group["params"]]
    on_cuda = parameters[0].is_cuda
    optimizer = torch.optim.AdamW(groups, fused=on_cuda)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(num_steps, config.warm_up))
    first = 0
    if resume is not None:
        load_state(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        rates.load_state_dict(resume["rates"])
        torch.set_rng_state(resume["random"])
        if on_cuda and "cuda_random" in resume:
            torch.cuda.set_rng_state(resume["cuda_random"], parameters[0].device)
        first = resume["step"]
    for step in range(first, num_steps):
        optimizer.zero_grad()
        loss(step).backward()
        parallel.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, config.max_gradient)
        optimizer.step()
        rates.step()

        def state(done: int = step + 1) -> dict[str, Any]:
            kept = {
                "model": trained_state(),
                "optimizer": optimizer.state_dict(),
                "rates": rates.state_dict(),
                "random": torch.get_rng_state(),
                "step": done,
            }
            if on_cuda:
                # Dropout draws on the device.
                kept["cuda_random"] = torch.cuda.get_rng_state(parameters[0].device)
            return kept

        on_checkpoint(state, step + 1)
        if stop(step + 1):
            return


def _rate(num_steps: int, warm_up: float) -> Callable[[int], float]:
    rising = max(1, round(num_steps * warm_up))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        share = (step - rising) / max(1, num_steps - rising)
        return 0.5 * (1 + float(np.cos(np.pi * min(1.0, share))))

    return factor
