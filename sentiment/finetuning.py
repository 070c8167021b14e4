"""Fine-tuning of a review model on several tasks at once, keeping its embedding what it was.

Every batch holds texts of one task; batches of all tasks are shuffled together. On a share of the
batches a reference, by default the model as it was before, reads the same texts too, and the
embedding is pulled towards that one's: fine-tuning for sentiment alone destroys an encoder as an
embedder within a hundred steps. Of a fresh model that is the mean of the base's last layer, which
is the base's own.
No clock and no files: checkpoints are handed to the caller.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sentiment.batching import padded, shuffled_batches
from sentiment.descent import DescentConfig, OnCheckpoint, descend, parameter_groups
from sentiment.parallel import ALONE, Parallel
from sentiment.review_model import ReviewModel
from sentiment.tasks import Task


@dataclass(frozen=True, kw_only=True)
class FineTuning(DescentConfig):
    """How a review model is trained; `learning_rate` is of the encoder's layers.

    Attributes:
        head_learning_rate: Peak rate of the heads.
        distillation: Weight of (1 - cosine) between the embedding and what it was before.
        distilled_share: Share of the batches on which it is computed; none is for an encoder whose
            embedding is learned.
        share: Share of a task's texts that a pass over it reads, drawn anew for each pass.
    """

    batch_tokens: int = 1280
    learning_rate: float = 7e-5
    head_learning_rate: float = 5e-4
    distillation: float = 8.0
    distilled_share: float = 0.25
    share: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not 0 <= self.distilled_share <= 1:
            raise ValueError(f"distilled_share must be within 0..1, not {self.distilled_share}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be within (0, 1], not {self.share}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is known of a step.

    Attributes:
        number: From 1.
        total: Steps in all.
        task: Whose batch it was.
        loss: Of the task alone.
        distance: 1 - cosine to the embedding before; NaN where it was not computed.
    """

    number: int
    total: int
    task: str
    loss: float
    distance: float


def schedule_batches(tasks: Sequence[Task], config: FineTuning) -> list[tuple[int, np.ndarray]]:
    """Return (task, rows) of every step, the same for the same tasks and config."""
    rng = np.random.default_rng(config.seed)
    steps: list[tuple[int, np.ndarray]] = []
    for _ in range(config.epochs):
        epoch: list[tuple[int, np.ndarray]] = []
        for number, task in enumerate(tasks):
            lengths = np.array([len(row) for row in task.ids])
            rows = np.arange(len(lengths))
            if config.share < 1:
                rows = rng.permutation(rows)[: max(1, round(config.share * len(rows)))]
            batches = shuffled_batches(lengths, rows, config.batch_tokens, rng)
            epoch += [(number, rows) for rows in batches]
        rng.shuffle(epoch)  # type: ignore[arg-type]
        steps += epoch
    return steps


def fine_tune(
    model: ReviewModel,
    tasks: Sequence[Task],
    config: FineTuning,
    *,
    device: str,
    reference: ReviewModel | None = None,
    resume: dict[str, Any] | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    on_checkpoint: OnCheckpoint = lambda state, step: None,
    stop: Callable[[int], bool] = lambda step: False,
    parallel: Parallel = ALONE,
) -> ReviewModel:
    """Train in place.

    Args:
        model: Fresh over a base encoder, or trained before.
        tasks: What to learn; rows are sampled as they are, so balance them before.
        config: How.
        device: Torch device.
        reference: Whose embedding is to be kept; None: a copy of the model as it is before.
        resume: What an earlier `on_checkpoint` was given; goes on after its step, with the same
            batches as if it had never stopped.
        on_step: Called in each step, once its loss is known.
        on_checkpoint: Called after each step with a function that makes the state to keep.
        stop: Called after each step with the number of steps done; True ends the training.
        parallel: Who else trains; each reads a part of every batch.

    Returns:
        The model, in evaluation mode.
    """
    torch.manual_seed(config.seed)
    before = None
    if config.distilled_share:
        before = copy.deepcopy(reference or model).to(device).eval().requires_grad_(False)
    model.to(device).train()
    steps = schedule_batches(tasks, config)
    distilled = np.random.default_rng([config.seed, 1]).random(len(steps)) < config.distilled_share

    def loss(number: int) -> Tensor:
        task, rows = tasks[steps[number][0]], parallel.share(steps[number][1])
        ids_BL, mask_BL = padded([task.ids[row] for row in rows], device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.bf16):
            encoded = model.encode(ids_BL, mask_BL)
            of_task = task.loss(model, encoded, rows)
            total, distance = task.weight * of_task, torch.full((), torch.nan)
            if before is not None and distilled[number]:
                with torch.no_grad():
                    wanted_BD = before.embed(before.encode(ids_BL, mask_BL))
                distance = 1 - (model.embed(encoded).float() * wanted_BD.float()).sum(1).mean()
                total = total + config.distillation * distance
        on_step(
            Step(
                number=number + 1,
                total=len(steps),
                task=task.name,
                loss=of_task.item(),
                distance=distance.item(),
            )
        )
        return total

    named = list(model.named_parameters())
    of_encoder = [(name, p) for name, p in named if name.startswith("encoder.")]
    of_heads = [(name, p) for name, p in named if not name.startswith("encoder.")]
    descend(
        parameter_groups(of_encoder, config.learning_rate, config.weight_decay)
        + parameter_groups(of_heads, config.head_learning_rate, config.weight_decay),
        len(steps),
        loss,
        config=config,
        trained_state=model.trained_state,
        load_state=model.load_trained_state,
        resume=resume,
        on_checkpoint=on_checkpoint,
        stop=stop,
        parallel=parallel,
    )
    return model.eval()
