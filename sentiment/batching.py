"""Batches of texts that waste little padding."""

from collections.abc import Iterator

import numpy as np


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
