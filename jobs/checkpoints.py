"""Checkpoints of a training in a folder, written so that a kill leaves the last whole one."""

import os
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from jobs.errors import BadInputError
from sentiment.descent import OnCheckpoint

_NAME = "checkpoint.pt"


def last_checkpoint(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the newest checkpoint of a folder, None where there is none.

    Args:
        folder: Of one training.
        settings: What the training is asked to do; a checkpoint of other settings is refused, since
            it could not go on as if it had never stopped.

    Raises:
        BadInputError: If the checkpoint is damaged or of other settings.
    """
    path = folder / _NAME
    if not path.exists():
        return None
    try:
        kept = torch.load(path, map_location="cpu")
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError) as error:
        raise BadInputError(f"{path} is damaged ({error}): remove it to begin anew") from error
    if kept["settings"] != settings:
        changed = sorted(k for k in settings if kept["settings"].get(k) != settings[k])
        raise BadInputError(
            f"{folder} holds a training with another {', '.join(changed)}: name another folder, "
            "give the same settings to go on, or remove it"
        )
    return kept["state"]


def keep_every(folder: Path, num_steps: int, settings: dict[str, Any]) -> OnCheckpoint:
    """Return what writes a checkpoint after every `num_steps` steps."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(state: Callable[[], dict[str, Any]], step: int) -> None:
        if step % num_steps:
            return
        partial = folder / f"{_NAME}.partial"
        with partial.open("wb") as file:
            torch.save({"settings": settings, "state": state()}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / _NAME)

    return keep


def forget_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a finished training."""
    (folder / _NAME).unlink(missing_ok=True)
