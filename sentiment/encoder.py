"""A base encoder: what review models are trained over, and what their embeddings are held to.

Shape suffixes: B texts of a batch, L tokens, D hidden width, P pooled layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from sentiment.batching import padded, token_budget_batches
from sentiment.encoder_files import DEFAULT_ENCODER, locate_encoder
from sentiment.errors import EncoderNotFoundError


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """How an encoder is loaded and run.

    Attributes:
        name: Folder, pinned package or hub name, see `locate_encoder`.
        max_tokens: Longest text read, in tokens including the two special ones; what is longer is
            cut and marked `truncated`.
        batch_tokens: Padded tokens of one forward pass; bounds its memory.
        device: Torch device, such as `cpu` or `cuda:0`.
    """

    name: str = DEFAULT_ENCODER
    max_tokens: int = 128
    batch_tokens: int = 4096
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 8 <= self.max_tokens <= 512:
            raise ValueError(f"max_tokens must be within 8..512, not {self.max_tokens}")
        if self.batch_tokens < self.max_tokens:
            raise ValueError(
                f"batch_tokens ({self.batch_tokens}) must hold one text of max_tokens "
                f"({self.max_tokens})"
            )


@dataclass(frozen=True, kw_only=True)
class PooledTexts:
    """What one pass leaves of N texts.

    Attributes:
        hidden: Mean over tokens of each hidden layer, float32, shape (N, num_layers + 1, D); layer
            0 is the token embedding.
        truncated: Which texts were longer than the encoder reads, bool, shape (N,).
    """

    hidden: np.ndarray
    truncated: np.ndarray

    @property
    def embedding(self) -> np.ndarray:
        """Unit-length sentence embedding: the normalised mean of the last layer, shape (N, D)."""
        last = self.hidden[:, -1]
        return last / np.maximum(np.linalg.norm(last, axis=1, keepdims=True), 1e-12)


def load_base(name: str) -> tuple[nn.Module, Tokenizer]:
    """Load a BERT-like encoder in single precision, and its tokenizer.

    Raises:
        EncoderNotFoundError: If neither folder, package nor hub has it.
        WeightsError: If a pinned package's weights were altered.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    where, _ = locate_encoder(name)
    try:
        encoder = AutoModel.from_pretrained(where, dtype=torch.float32)
        file = Path(where) / "tokenizer.json"
        tokenizer = (
            Tokenizer.from_file(str(file))
            if file.is_file()
            else AutoTokenizer.from_pretrained(where, use_fast=True).backend_tokenizer
        )
    # Damaged files: tokenizers raises plain Exception, safetensors an error of its own.
    except Exception as error:
        raise EncoderNotFoundError(
            f"encoder {name!r} could not be loaded from {where}: {error}"
        ) from error
    return encoder, tokenizer


class TextEncoder:
    """A BERT-like encoder with its tokenizer on one device."""

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, *, config: EncoderConfig) -> None:
        self.config = config
        self._model = model.to(config.device).eval()
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(config.max_tokens)

    @classmethod
    def load(cls, config: EncoderConfig) -> "TextEncoder":
        """Load the encoder that the config names.

        Raises:
            EncoderNotFoundError: If neither folder, package nor hub has it.
            WeightsError: If a pinned package's weights were altered.
        """
        model, tokenizer = load_base(config.name)
        return cls(model, tokenizer, config=config)

    @property
    def dim(self) -> int:
        """Hidden width D."""
        return int(self._model.config.hidden_size)  # type: ignore[union-attr]

    @property
    def num_layers(self) -> int:
        """Number of transformer layers; `PooledTexts.hidden` has one more."""
        return int(self._model.config.num_hidden_layers)  # type: ignore[union-attr]

    def pool(self, texts: Sequence[str]) -> PooledTexts:
        """Run every text through the encoder once, in length-sorted token-budget batches.

        Args:
            texts: N cleaned texts; an empty one is read as its special tokens alone.

        Returns:
            Pooled layers in the order of `texts`.
        """
        encodings = self._tokenizer.encode_batch_fast(list(texts)) if texts else []
        ids = [encoding.ids for encoding in encodings]
        truncated = np.array([bool(encoding.overflowing) for encoding in encodings], dtype=bool)
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        hidden = np.empty((len(ids), self.num_layers + 1, self.dim), dtype=np.float32)
        for rows in token_budget_batches(lengths, self.config.batch_tokens):
            hidden[rows] = self._pool_batch([ids[row] for row in rows]).cpu().numpy()
        return PooledTexts(hidden=hidden, truncated=truncated)

    @torch.inference_mode()
    def _pool_batch(self, ids: list[list[int]]) -> Tensor:
        """Return mean-pooled hidden states of one batch, shape (B, P, D)."""
        ids_BL, mask_BL = padded(ids, self.config.device)
        output = self._model(input_ids=ids_BL, attention_mask=mask_BL, output_hidden_states=True)
        weight_BL1 = mask_BL.unsqueeze(-1).float()
        num_tokens_B1 = weight_BL1.sum(1)
        pooled = [(layer * weight_BL1).sum(1) / num_tokens_B1 for layer in output.hidden_states]
        return torch.stack(pooled, dim=1).float()
