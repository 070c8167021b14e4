"""Pretrain a small encoder of characters on texts without labels, into a folder of its own."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl
import torch
from tokenizers import Tokenizer

from jobs.checkpoints import forget_checkpoint, keep_every, last_checkpoint
from jobs.errors import BadInputError
from jobs.text_files import read_table
from sentiment.characters import character_tokenizer
from sentiment.cleaning import clean_text
from sentiment.pretraining import EncoderShape, Pretraining, fresh_encoder, pretrain
from sentiment.tasks import tokenise

_CHECKPOINT_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class PretrainReport:
    """What a pretraining left.

    Attributes:
        folder: `config.json`, `tokenizer.json` and `model.safetensors`.
        num_texts: Texts that were read.
        vocabulary_size: Tokens, the special ones included.
        loss: Of the last step that was run, NaN where none was left to run.
    """

    folder: Path
    num_texts: int
    vocabulary_size: int
    loss: float


def read_texts(files: list[Path], column: str) -> list[str]:
    """Return the distinct cleaned texts of a column of several files.

    Raises:
        BadInputError: If a file cannot be read or lacks the column.
    """
    texts: dict[str, None] = {}
    for path in files:
        frame = read_table(path)
        if column not in frame.columns:
            raise BadInputError(f"{path} has no column {column}; it has {', '.join(frame.columns)}")
        texts |= dict.fromkeys(map(clean_text, frame[column].cast(pl.String).drop_nulls()))
    texts.pop("", None)
    if not texts:
        raise BadInputError(f"{', '.join(map(str, files))}: no texts in column {column}")
    return list(texts)


def pretrain_encoder(
    texts: list[str],
    out: Path,
    shape: EncoderShape,
    config: Pretraining,
    *,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PretrainReport:
    """Pretrain, or go on from the folder's checkpoint.

    Args:
        texts: Cleaned texts.
        out: Folder of the checkpoint and of the finished encoder.
        shape: Of the encoder.
        config: How.
        device: Torch device.
        progress: Called with steps done and steps in all.

    Raises:
        BadInputError: If the folder holds another training.
    """
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    settings = {"shape": asdict(shape), "config": asdict(config), "texts": digest}
    tokenizer = character_tokenizer(texts)
    model = fresh_encoder(tokenizer.get_vocab_size(), shape, seed=config.seed)
    losses: list[float] = []

    def on_step(step: int, total: int, loss: float) -> None:
        losses.append(loss)
        progress(step, total)

    pretrain(
        model,
        tokenise(tokenizer, texts, shape.max_tokens),
        config,
        device=device,
        resume=last_checkpoint(out, settings),
        on_step=on_step,
        on_checkpoint=keep_every(out, _CHECKPOINT_STEPS, settings),
    )
    save_encoder(model, tokenizer, out)
    forget_checkpoint(out)
    return PretrainReport(
        folder=out,
        num_texts=len(texts),
        vocabulary_size=tokenizer.get_vocab_size(),
        loss=losses[-1] if losses else float("nan"),
    )


def save_encoder(model: torch.nn.Module, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the encoder of a masked-language model, as `sentiment.encoder` loads it."""
    encoder = cast(Any, model).bert.cpu()
    tokenizer.no_truncation()
    encoder.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
