"""Masked-language pretraining of a small encoder on unlabelled texts.

Source: Devlin et al. 2019, "BERT": of the 15% chosen tokens 80% are masked, 10% replaced by a
random one and 10% left; the model tells what they were. No clock and no files.

Shape suffixes: B texts, L tokens, M chosen tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sentiment.attention import attention_of_any_shape
from sentiment.batching import padded, shuffled_batches
from sentiment.characters import MASK, SPECIAL
from sentiment.descent import DescentConfig, OnCheckpoint, descend, parameter_groups


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """Shape of an encoder that is made from nothing.

    Attributes:
        width: Hidden width.
        num_layers: Transformer layers.
        num_heads: Attention heads.
        max_tokens: Longest text.
        dropout: In training.
    """

    width: int = 256
    num_layers: int = 4
    num_heads: int = 4
    max_tokens: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.width % self.num_heads:
            raise ValueError(
                f"width ({self.width}) must be a multiple of num_heads ({self.num_heads})"
            )


@dataclass(frozen=True, kw_only=True)
class Pretraining(DescentConfig):
    """How an encoder is pretrained.

    Attributes:
        masked_share: Share of the tokens that are to be told.
    """

    epochs: int = 3
    batch_tokens: int = 8192
    learning_rate: float = 1e-3
    masked_share: float = 0.15

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not 0 < self.masked_share < 1:
            raise ValueError(f"masked_share must be within (0, 1), not {self.masked_share}")


def fresh_encoder(vocabulary_size: int, shape: EncoderShape, *, seed: int) -> nn.Module:
    """Return an untrained `transformers.BertForMaskedLM`; its `bert` is the encoder."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(seed)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=vocabulary_size,
            hidden_size=shape.width,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            intermediate_size=4 * shape.width,
            max_position_embeddings=shape.max_tokens,
            hidden_dropout_prob=shape.dropout,
            attention_probs_dropout_prob=shape.dropout,
            type_vocab_size=1,
            pad_token_id=0,
        )
    )


def pretrain(
    model: nn.Module,
    ids: Sequence[Sequence[int]],
    config: Pretraining,
    *,
    device: str,
    resume: dict[str, Any] | None = None,
    on_step: Callable[[int, int, float], None] = lambda step, total, loss: None,
    on_checkpoint: OnCheckpoint = lambda state, step: None,
) -> nn.Module:
    """Train in place.

    Args:
        model: What `fresh_encoder` returned.
        ids: Token ids of each text, with the special ones; ids below `len(SPECIAL)` are special.
        config: How.
        device: Torch device.
        resume: What an earlier `on_checkpoint` was given.
        on_step: Called in each step with its number from 1, the number of steps and its loss.
        on_checkpoint: See `sentiment.descent.descend`.

    Returns:
        The model, in evaluation mode.
    """
    torch.manual_seed(config.seed)
    model.to(device).train()
    steps = _schedule(ids, config)
    vocabulary_size = int(model.config.vocab_size)  # type: ignore[union-attr]

    def loss(number: int) -> Tensor:
        ids_BL, mask_BL = padded([ids[row] for row in steps[number]], "cpu")
        rng = np.random.default_rng([config.seed, 1, number])
        read_BL, chosen_BL = mask_tokens(ids_BL, config.masked_share, vocabulary_size, rng)
        with (
            attention_of_any_shape(device),
            torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.bf16),
        ):
            hidden = model.bert(  # type: ignore[operator]
                input_ids=read_BL.to(device), attention_mask=mask_BL.to(device)
            ).last_hidden_state
            # Only the chosen tokens are told: logits of all others would cost as much as a layer.
            logits_MV = model.cls(hidden[chosen_BL.to(device)])  # type: ignore[operator]
            told = nn.functional.cross_entropy(logits_MV.float(), ids_BL[chosen_BL].to(device))
        on_step(number + 1, len(steps), told.item())
        return told

    descend(
        parameter_groups(list(model.named_parameters()), config.learning_rate, config.weight_decay),
        len(steps),
        loss,
        config=config,
        trained_state=model.state_dict,
        load_state=model.load_state_dict,
        resume=resume,
        on_checkpoint=on_checkpoint,
    )
    return model.eval()


def mask_tokens(
    ids_BL: Tensor, share: float, vocabulary_size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return what the model reads, and which tokens it has to tell, bool; both (B, L).

    At least one token is chosen; special ones never.
    """
    ids = ids_BL.numpy()
    real = ids >= len(SPECIAL)
    chosen = real & (rng.random(ids.shape) < share)
    if not chosen.any():
        chosen.flat[rng.choice(np.flatnonzero(real))] = True
    fate = rng.random(ids.shape)
    read = np.where(chosen & (fate < 0.8), SPECIAL.index(MASK), ids)
    other = rng.integers(len(SPECIAL), vocabulary_size, ids.shape)
    read = np.where(chosen & (fate >= 0.8) & (fate < 0.9), other, read)
    return torch.from_numpy(read), torch.from_numpy(chosen)


def _schedule(ids: Sequence[Sequence[int]], config: Pretraining) -> list[np.ndarray]:
    """Return the rows of every step; texts without a real token are left out."""
    rng = np.random.default_rng(config.seed)
    lengths = np.array([len(row) for row in ids])
    real = np.flatnonzero([any(token >= len(SPECIAL) for token in row) for row in ids])
    return [
        batch
        for _ in range(config.epochs)
        for batch in shuffled_batches(lengths, real, config.batch_tokens, rng)
    ]
