"""One list of candidates a user, fused from the rankings of several sources.

Reciprocal rank fusion: an item's fused score is the sum over sources of weight / (constant + rank).
Source: Cormack, Clarke and Büttcher 2009.

Shape suffixes: B users, K candidates, S sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recsys import kernels
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
        score: Score of each source, comparable between users, float32, shape (B, K, S).
        rank: 0-based rank in each source, `depth` where beyond it, int32, shape (B, K, S).
        last: What the last thing bought alone says in each source that asks neighbours, 0 in the
            others, float32, shape (B, K, S).
        sources: Names of the S sources.
        depth: How far down its ranking a source was asked.
    """

    item_idx: np.ndarray
    fused: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    last: np.ndarray
    sources: tuple[str, ...]
    depth: int = 0

    def of_users(self, users: np.ndarray | slice) -> "Candidates":
        """Return the candidates of some users, in the order given."""
        return replace(self, **{name: getattr(self, name)[users] for name in _BY_USER})


_BY_USER = ("item_idx", "fused", "score", "rank", "last")


def joined_candidates(parts: Sequence[Candidates]) -> Candidates:
    """Return the candidates of all users of one or more batches, of the same sources."""
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _BY_USER}
    return Candidates(**columns, sources=parts[0].sources, depth=parts[0].depth)


def fuse(query: Query, sources: list[CandidateSource], config: CandidateConfig) -> Candidates:
    """Ask all sources and fuse their rankings.

    Args:
        query: B users.
        sources: Sources over the same item index.
        config: How candidates are chosen.

    Returns:
        Candidates that are allowed, without anything the user has bought.
    """
    depth = config.depth
    rankings = [source.rank(query, depth) for source in sources]
    ranked = np.empty((len(sources), len(query), depth), dtype=np.int32)
    for s, ranking in enumerate(rankings):
        ranked[s] = ranking.item_idx
    weights = [config.weights.get(source.name, 1.0) for source in sources]
    item_idx, fused, rank = kernels.most_voted(
        ranked,
        np.divide.outer(weights, config.constant + np.arange(ranked.shape[2])),
        config.num_candidates,
        kernels.scratch(int(ranked.max(initial=0)) + 1),
    )
    score = np.empty((*item_idx.shape, len(sources)), dtype=np.float32)
    last = np.zeros(score.shape, dtype=np.float32)
    for s, (source, ranking) in enumerate(zip(sources, rankings, strict=True)):
        score[:, :, s] = ranking.score_of(item_idx)
        if isinstance(source, NeighbourSource):
            last[:, :, s] = source.by_last(query, item_idx)
    return Candidates(
        item_idx=item_idx,
        fused=fused,
        score=score,
        rank=rank,
        last=last,
        sources=tuple(source.name for source in sources),
        depth=depth,
    )
