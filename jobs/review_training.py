"""Fine-tuning of a review model in a folder (a log, checkpoints, the finished file); means."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.checkpoints import forget_checkpoint, keep_every, last_checkpoint
from sentiment.averaging import mean_state
from sentiment.finetuning import FineTuning, Step, fine_tune
from sentiment.model_file import TrainedModel, save_model
from sentiment.review_model import ReviewModel
from sentiment.tasks import Task

_CHECKPOINT_STEPS = 200
_LOG_STEPS = 10


def averaged(models: Sequence[TrainedModel]) -> TrainedModel:
    """Return the first of some models, changed in place: its weights are the mean of theirs."""
    mean = mean_state([one.model.trained_state() for one in models])
    models[0].model.load_trained_state(mean)
    return models[0]


def train_in_folder(
    trained: TrainedModel,
    tasks: Sequence[Task],
    config: FineTuning,
    out: Path,
    file: str,
    *,
    settings: dict[str, Any],
    device: str,
    reference: ReviewModel | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Train, or go on from the folder's checkpoint.

    Args:
        trained: The model as it is before; changed in place.
        tasks: What to learn.
        config: How.
        out: Folder of `log.jsonl`, of checkpoints and of the finished file.
        file: Name of the finished file.
        settings: What else makes this training another one than the folder's.
        device: Torch device.
        reference: Whose embedding is to be kept; None: the model's own, as it is before.
        progress: Called with steps done and steps in all.

    Returns:
        The finished file.

    Raises:
        BadInputError: If the folder holds another training.
    """
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.jsonl"
    settings = asdict(config) | settings

    def on_step(step: Step) -> None:
        progress(step.number, step.total)
        if step.number % _LOG_STEPS == 0:
            with log.open("a") as lines:
                lines.write(json.dumps(vars(step)) + "\n")

    fine_tune(
        trained.model,
        tasks,
        config,
        device=device,
        reference=reference,
        resume=last_checkpoint(out, settings),
        on_step=on_step,
        on_checkpoint=keep_every(out, _CHECKPOINT_STEPS, settings),
    )
    save_model(out / file, trained)
    forget_checkpoint(out)
    return out / file
