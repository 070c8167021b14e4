"""One list of candidates a user, fused from the rankings of several sources.

Reciprocal rank fusion: an item's fused score is the sum over sources of weight / (constant + rank).
Source: Cormack, Clarke and Büttcher 2009.

Shape suffixes: B users, K candidates, S sources.
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
        score: Score of each source, comparable between users, float32, shape (B, K, S).
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
    base = 1 + max(ranking.item_idx.max(initial=0) for ranking in rankings)
    ranked = [_Ranked.of(ranking.item_idx, base) for ranking in rankings]
    votes = [
        config.weights.get(source.name, 1.0) / (config.constant + of_source.place)
        for source, of_source in zip(sources, ranked, strict=True)
    ]
    item_idx, fused = _most_voted(
        np.concatenate([of_source.key for of_source in ranked]),
        np.concatenate(votes),
        base,
        (len(query), config.num_candidates),
    )
    known = np.maximum(item_idx, 0)
    nothing = np.zeros(item_idx.shape, dtype=np.float32)
    return Candidates(
        item_idx=item_idx,
        fused=fused,
        score=np.stack([ranking.score_of(known) for ranking in rankings], axis=2),
        rank=np.stack([of_source.places_of(item_idx, base, depth) for of_source in ranked], axis=2),
        last=np.stack(
            [
                source.by_last(query, known) if isinstance(source, NeighbourSource) else nothing
                for source in sources
            ],
            axis=2,
        ),
        sources=tuple(source.name for source in sources),
    )


@dataclass(frozen=True)
class _Ranked:
    """One source's ranked items of all users: ascending keys of user and item, and their places."""

    key: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, item_idx: np.ndarray, base: int) -> "_Ranked":
        user, place = np.nonzero(item_idx >= 0)
        key = user * base + item_idx[user, place]
        order = np.argsort(key)
        return cls(key[order], place[order])

    def places_of(self, item_idx: np.ndarray, base: int, depth: int) -> np.ndarray:
        """Return the place of each item (B, K) in its user's ranking, `depth` where beyond it."""
        wanted = np.arange(len(item_idx))[:, None] * base + item_idx
        if not len(self.key):
            return np.full(item_idx.shape, depth, dtype=np.int32)
        found = np.searchsorted(self.key, wanted).clip(max=len(self.key) - 1)
        hit = (self.key[found] == wanted) & (item_idx >= 0)
        return np.where(hit, self.place[found], depth).astype(np.int32)


def _most_voted(
    keys: np.ndarray, votes: np.ndarray, base: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Add up votes and return items, -1 for padding, and sums, most voted first, both (B, K)."""
    distinct, place = np.unique(keys, return_inverse=True)
    sums = np.bincount(place, votes, minlength=len(distinct)).astype(np.float32)
    user, item = np.divmod(distinct, base)
    # Keys ascend, so a stable sort gives ties to the lower item.
    order = np.lexsort((-sums, user))
    nth = np.arange(len(order)) - np.searchsorted(user, user[order])
    order, nth = order[nth < shape[1]], nth[nth < shape[1]]
    item_idx, fused = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.float32)
    item_idx[user[order], nth], fused[user[order], nth] = item[order], sums[order]
    return item_idx, fused
