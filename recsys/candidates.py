"""One list of candidates a user, fused from the rankings of several sources.

Reciprocal rank fusion: an item's fused score is the sum over sources of weight / (constant + rank).
Source: Cormack, Clarke and Büttcher 2009.

Shape suffixes: B users, I items, K candidates, S sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.query import Query
from recsys.sources import CandidateSource, NeighbourSource


@dataclass(frozen=True, kw_only=True)
class CandidateConfig:
    """How candidates are chosen.

    Attributes:
        num_candidates: K, candidates a user at most.
        depth: Quota of each source: how far down its ranking an item still counts.
        constant: The constant of rank fusion; small ones trust the tops of rankings.
        weights: Weight of a source's vote by its name, 1 where not named. Empty before a fit, which
            finds them.
    """

    num_candidates: int = 200
    depth: int = 400
    constant: float = 10.0
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_candidates < 1 or self.depth < 1:
            raise ValueError("num_candidates and depth must be at least 1")
        if self.constant <= 0:
            raise ValueError(f"constant must be positive, not {self.constant}")


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """K candidates of B users, best fused score first.

    Attributes:
        item_idx: int32, shape (B, K), -1 where a user has fewer.
        fused: Fused score, float32, shape (B, K).
        score: Score of each source divided by its best for the user, float32, shape (B, K, S).
        rank: 0-based rank in each source, `depth` where beyond it, int32, shape (B, K, S).
        last: What the last thing bought alone says in each source that asks neighbours, 0 in the
            others, float32, shape (B, K, S).
        sources: Names of the S sources.
    """

    item_idx: np.ndarray
    fused: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    last: np.ndarray
    sources: tuple[str, ...]

    def of_users(self, users: np.ndarray) -> "Candidates":
        """Return the candidates of some users, in the order given."""
        return replace(self, **{name: getattr(self, name)[users] for name in _BY_USER})


_BY_USER = ("item_idx", "fused", "score", "rank", "last")


def joined_candidates(parts: Sequence[Candidates]) -> Candidates:
    """Return the candidates of all users of one or more batches, of the same sources."""
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _BY_USER}
    return Candidates(**columns, sources=parts[0].sources)


def fuse(query: Query, sources: list[CandidateSource], config: CandidateConfig) -> Candidates:
    """Score all sources and fuse their rankings.

    Args:
        query: B users.
        sources: Sources over the same item index.
        config: How candidates are chosen.

    Returns:
        Candidates that are allowed, without anything the user has bought.
    """
    scores = [source.score(query) for source in sources]
    num_users, num_items = scores[0].shape
    banned = np.zeros((num_users, num_items), dtype=bool)
    banned[query.bought.row, query.bought.item_idx] = True
    if query.allowed is not None:
        banned |= ~query.allowed
    depth = min(config.depth, num_items)
    fused = np.zeros((num_users, num_items), dtype=np.float32)
    ranks = [_ranks(np.where(banned, -np.inf, score), depth) for score in scores]
    for source, rank in zip(sources, ranks, strict=True):
        weight = config.weights.get(source.name, 1.0)
        fused += np.where(rank < depth, weight / (config.constant + rank), 0.0)
    fused[banned] = -np.inf
    top = best_first(fused, min(config.num_candidates, num_items))
    best = [np.maximum(np.abs(score).max(1, keepdims=True), 1e-9) for score in scores]
    taken = np.take_along_axis(fused, top, 1)
    empty = ~(taken > 0)
    nothing = np.zeros(top.shape, dtype=np.float32)
    return Candidates(
        item_idx=np.where(empty, -1, top).astype(np.int32),
        fused=np.where(empty, 0.0, taken).astype(np.float32),
        score=np.stack(
            [np.take_along_axis(s / b, top, 1) for s, b in zip(scores, best, strict=True)], axis=2
        ).astype(np.float32),
        rank=np.stack([np.take_along_axis(r, top, 1) for r in ranks], axis=2),
        last=np.stack(
            [
                source.by_last(query, top) if isinstance(source, NeighbourSource) else nothing
                for source in sources
            ],
            axis=2,
        ),
        sources=tuple(source.name for source in sources),
    )


def best_first(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k best scores of each row, best first.

    Ties go to the lower column; of zeros and -inf, which say nothing, any may fill the last places.
    """
    if k < scores.shape[1]:
        part = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        values = np.take_along_axis(scores, part, 1)
        weakest = values.min(1)
        # The partition takes any of those that tie for the last places.
        for row in np.flatnonzero((weakest != 0) & np.isfinite(weakest)):
            above = part[row, values[row] > weakest[row]]
            tied = np.flatnonzero(scores[row] == weakest[row])[: k - len(above)]
            part[row] = np.sort(np.concatenate([above, tied]))
    else:
        part = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    values = np.take_along_axis(scores, part, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(part, order, 1)


def _ranks(scores: np.ndarray, depth: int) -> np.ndarray:
    """Return 0-based ranks down to `depth`, and `depth` beyond it or where a score says nothing."""
    top = best_first(scores, depth)
    ranks = np.full(scores.shape, depth, dtype=np.int32)
    places = np.broadcast_to(np.arange(depth, dtype=np.int32), top.shape)
    np.put_along_axis(ranks, top, places, 1)
    ranks[(scores == 0) | ~np.isfinite(scores)] = depth
    return ranks
