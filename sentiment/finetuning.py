"""Fine-tuning of a review model on several tasks at once, keeping its embedding that of the base.

Every batch holds texts of one task; batches of all tasks are shuffled together. On a share of the
batches the base encoder reads the same texts, and the model's embedding is pulled towards its own:
fine-tuning for sentiment alone destroys an encoder as an embedder within a hundred steps.
No clock and no files: checkpoints are handed to the caller.

Shape suffixes: B texts, L tokens, D hidden width.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sentiment.batching import shuffled_batches
from sentiment.descent import DescentConfig, OnCheckpoint, descend, parameter_groups
from sentiment.review_model import ReviewModel
from sentiment.tasks import Task


@dataclass(frozen=True, kw_only=True)
class FineTuning(DescentConfig):
    """How a review model is trained; `learning_rate` is of the encoder's layers.

    Attributes:
        head_learning_rate: Peak rate of the heads.
        distillation: Weight of (1 - cosine) between the embedding and the base's.
        distilled_share: Share of the batches on which it is computed.
    """

    batch_tokens: int = 3072
    learning_rate: float = 8e-5
    head_learning_rate: float = 5e-4
    distillation: float = 4.0
    distilled_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not 0 <= self.distilled_share <= 1:
            raise ValueError(f"distilled_share must be within 0..1, not {self.distilled_share}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is known of a step.

    Attributes:
        number: From 1.
        total: Steps in all.
        task: Whose batch it was.
        loss: Of the task alone.
        distance: 1 - cosine to the base's embedding; NaN where it was not computed.
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
            batches = shuffled_batches(lengths, np.arange(len(lengths)), config.batch_tokens, rng)
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
    resume: dict[str, Any] | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    on_checkpoint: OnCheckpoint = lambda state, step: None,
) -> ReviewModel:
    """Train in place.

    Args:
        model: Fresh over the base encoder: a copy of its encoder is what the embedding is held to.
        tasks: What to learn; rows are sampled as they are, so balance them before.
        config: How.
        device: Torch device.
        resume: What an earlier `on_checkpoint` was given; goes on after its step, with the same
            batches as if it had never stopped.
        on_step: Called in each step, once its loss is known.
        on_checkpoint: Called after each step with a function that makes the state to keep.

    Returns:
        The model, in evaluation mode.
    """
    torch.manual_seed(config.seed)
    base = copy.deepcopy(model.encoder).to(device).eval().requires_grad_(False)
    model.to(device).train()
    steps = schedule_batches(tasks, config)
    distilled = np.random.default_rng([config.seed, 1]).random(len(steps)) < config.distilled_share

    def loss(number: int) -> Tensor:
        task, rows = tasks[steps[number][0]], steps[number][1]
        ids_BL, mask_BL = padded([task.ids[row] for row in rows], device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.bf16):
            encoded = model.encode(ids_BL, mask_BL)
            of_task = task.loss(model, encoded, rows)
            total, distance = task.weight * of_task, torch.full((), torch.nan)
            if distilled[number]:
                with torch.no_grad():
                    wanted_BD = _mean_embedding(base, ids_BL, mask_BL)
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
        load_state=lambda state: model.load_state_dict(state, strict=False),
        resume=resume,
        on_checkpoint=on_checkpoint,
    )
    return model.eval()


def padded(ids: Sequence[Sequence[int]], device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Return token ids and mask, int64, shape (B, L)."""
    lengths = torch.tensor([len(row) for row in ids])
    mask_BL = torch.arange(int(lengths.max())) < lengths[:, None]
    ids_BL = torch.zeros(mask_BL.shape, dtype=torch.long)
    ids_BL[mask_BL] = torch.tensor([token for row in ids for token in row])
    return ids_BL.to(device), mask_BL.long().to(device)


def _mean_embedding(encoder: nn.Module, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
    tokens_BLD = encoder(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
    weight_BL1 = mask_BL.unsqueeze(-1).to(tokens_BLD.dtype)
    return nn.functional.normalize((tokens_BLD * weight_BL1).sum(1) / weight_BL1.sum(1), dim=1)
