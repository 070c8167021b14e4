"""Batches of texts that waste little padding."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

# Texts that are sorted by length together; from one stretch to the next the order is random.
_STRETCH = 1024


def token_budget_batches(lengths: np.ndarray, max_tokens: int) -> Iterator[np.ndarray]:
    """Yield index arrays of texts of similar length, longest batch first.

    Args:
        lengths: Tokens of each text, shape (N,), at least 1 each.
        max_tokens: Upper bound of rows x longest row of a batch. A single text that is longer
            forms a batch of its own.

    Yields:
        Indices into `lengths`; together they are a permutation of 0..N-1.

    Raises:
        ValueError: If `max_tokens` is not positive.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, not {max_tokens}")
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, max_tokens // int(lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def shuffled_batches(
    lengths: np.ndarray, rows: np.ndarray, max_tokens: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return batches of rows for training: similar lengths within, random from one to the next.

    Args:
        lengths: Tokens of every text, shape (N,).
        rows: Which texts to batch; each comes once.
        max_tokens: Upper bound of rows x longest row of a batch.
        rng: Decides which rows may meet, and the order of the batches.
    """
    order = rng.permutation(rows)
    batches = [
        stretch[batch]
        for start in range(0, len(order), _STRETCH)
        for stretch in (order[start : start + _STRETCH],)
        for batch in token_budget_batches(lengths[stretch], max_tokens)
    ]
    return [batches[place] for place in rng.permutation(len(batches))]


def padded(ids: Sequence[Sequence[int]], device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Return token ids and mask, int64, shape (B, L)."""
    lengths = torch.tensor([len(row) for row in ids])
    mask_BL = torch.arange(int(lengths.max())) < lengths[:, None]
    ids_BL = torch.zeros(mask_BL.shape, dtype=torch.long)
    ids_BL[mask_BL] = torch.tensor([token for row in ids for token in row])
    return ids_BL.to(device), mask_BL.long().to(device)
