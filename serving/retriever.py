"""Asking a retriever beside the replicas, where there is one, and doing without it where it fails.

A replica has an index of its own; a retriever only finds the same faster, or more exactly, where
the catalogue is large and there is a GPU. So nothing that goes wrong with it shows in an answer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys.query import Near, Query
from recsys.recommender import Recommender
from recsys.sources import TwoTowerSource

LIMIT_S = 0.02
"""A retriever that takes longer is not waited for."""
_LEFT_ALONE_S = 1.0

Outcome = Literal["found", "other_bundle", "failed"]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One question to the retriever.

    Attributes:
        version: Bundle that the vector is of.
        vector: Query vector, float32, shape (D,).
        depth: Items wanted.
    """

    version: str
    vector: np.ndarray
    depth: int


Retrieving = Callable[[Wanted], Awaitable[np.ndarray | None]]
"""Returns items, best first, int32; None where the retriever has another bundle."""


class Retriever:
    """The retriever as one replica sees it.

    Args:
        ask: Asks it.
        count: Told what came of each question.
        limit_s: How long an answer may take.
    """

    def __init__(
        self, ask: Retrieving, count: Callable[[Outcome], None], limit_s: float = LIMIT_S
    ) -> None:
        self._ask = ask
        self._count = count
        self._limit_s = limit_s
        self._failed_at = -_LEFT_ALONE_S

    async def near(self, query: Query, recommender: Recommender, version: str) -> Near | None:
        """Return what the two-tower source would look up for one user; None where it has to.

        After a failure the retriever is left alone for a second.
        """
        source = next((s for s in recommender.sources if isinstance(s, TwoTowerSource)), None)
        if source is None or time.monotonic() - self._failed_at < _LEFT_ALONE_S:
            return None
        depth = source.looked_up(query, recommender.config.candidates.depth)
        vectors = source.vectors(query)
        wanted = Wanted(version=version, vector=vectors[0], depth=depth)
        try:
            found = await asyncio.wait_for(self._ask(wanted), self._limit_s)
        except Exception:
            # Whatever it is, this process can answer without.
            _logger.warning("the retriever does not answer", exc_info=True)
            self._failed_at = time.monotonic()
            self._count("failed")
            return None
        self._count("other_bundle" if found is None else "found")
        return None if found is None else Near(vectors=vectors, item_idx=found[None, :])
