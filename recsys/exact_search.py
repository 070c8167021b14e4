"""Exact search by inner product on a device: what a GPU does faster than any index on a CPU.

Needs torch; a process that only answers requests does not import this.

Shape suffixes: B queries, I items, D vector width, N items found.
"""

import numpy as np
import torch


class ExactSearch:
    """Item vectors on a device.

    Args:
        vectors_ID: float32, memory-mapped or not.
        device: Such as `cpu`, `cuda` or `cuda:1`.

    Raises:
        RuntimeError: If torch does not have the device.
    """

    def __init__(self, vectors_ID: np.ndarray, device: str) -> None:
        self._vectors_ID = torch.tensor(np.asarray(vectors_ID), device=device)

    def __len__(self) -> int:
        """Return the number of items I."""
        return len(self._vectors_ID)

    @torch.inference_mode()
    def best(self, queries_BD: np.ndarray, depth: int) -> np.ndarray:
        """Return the items with the greatest products, best first, int32, shape (B, N).

        N is `depth`, or I where there are fewer. Of equal products any may come first.

        Raises:
            ValueError: If `depth` is below 1.
        """
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        queries = torch.tensor(queries_BD, device=self._vectors_ID.device)
        products_BI = queries @ self._vectors_ID.T
        found = torch.topk(products_BI, min(depth, len(self)), dim=1).indices
        return found.to(torch.int32).cpu().numpy()
