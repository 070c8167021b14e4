"""Full-ranking evaluation of sources, peers and the ranker on one world's questions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys.candidates import CandidateConfig, Candidates, fuse
from recsys.metrics import coverage, ndcg, recall, summarise, target_ranks
from recsys.pair_features import pair_features
from recsys.query import Query
from recsys.ranker import Ranker
from recsys.sources import CandidateSource
from recsys.world import World

BATCH_USERS = 512


def user_batches(world: World) -> Iterator[tuple[slice, Query]]:
    """Yield slices of `world.asked` with their queries."""
    for start in range(0, len(world.asked), BATCH_USERS):
        part = slice(start, min(start + BATCH_USERS, len(world.asked)))
        yield part, world.population.query(world.asked[part])


def candidates_and_features(
    world: World, sources: list[CandidateSource], config: CandidateConfig
) -> tuple[Candidates, np.ndarray]:
    """Return candidates of all asked users (B, K) and their pair features (B, K, F)."""
    parts = []
    for _, query in user_batches(world):
        candidates = fuse(query, sources, config)
        parts.append((candidates, pair_features(query, candidates, world.features, world.text)))
    first = parts[0][0]
    joined = Candidates(
        item_idx=np.concatenate([c.item_idx for c, _ in parts]),
        fused=np.concatenate([c.fused for c, _ in parts]),
        score=np.concatenate([c.score for c, _ in parts]),
        rank=np.concatenate([c.rank for c, _ in parts]),
        sources=first.sources,
    )
    return joined, np.concatenate([features for _, features in parts])


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """How good one ranking is.

    Attributes:
        metrics: Means over users of NDCG@10, Recall@10/100/200 and MRR, and coverage@10.
        ndcg: NDCG@10 of each asked user, for paired comparisons, shape (B,).
        recall_100: Recall@100 of each asked user, likewise, shape (B,).
    """

    metrics: dict[str, float]
    ndcg: np.ndarray
    recall_100: np.ndarray


def evaluate_source(world: World, source: CandidateSource) -> Evaluated:
    """Measure one source ranking the whole catalogue, bought items excluded."""
    ranks, lists = [], []
    for part, query in user_batches(world):
        scores = source.score(query)
        for row, b in enumerate(range(part.start, part.stop)):
            seen = query.bought.item_idx[query.bought.indptr[row] : query.bought.indptr[row + 1]]
            ranks.append(target_ranks(scores[row], seen, _targets(world, b)))
            scores[row, seen] = -np.inf
        lists.append(np.argpartition(-scores, min(10, scores.shape[1] - 1), axis=1)[:, :10])
    return _evaluated(ranks, np.concatenate(lists), len(world.items))


def evaluate_lists(world: World, item_idx: np.ndarray, scores: np.ndarray) -> Evaluated:
    """Measure scored candidate lists; what is not in a list is not found.

    Args:
        world: The questions.
        item_idx: Candidates of each asked user, -1 for padding, shape (B, K).
        scores: Their scores, higher is better, shape (B, K).
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(item_idx, order, 1)
    values = np.take_along_axis(scores, order, 1)
    ranks = [_list_ranks(ranked[b], values[b], _targets(world, b)) for b in range(len(world.asked))]
    return _evaluated(ranks, ranked[:, :10], len(world.items))


def evaluate_ranker(
    world: World, candidates: Candidates, features: np.ndarray, ranker: Ranker
) -> dict[str, Evaluated]:
    """Measure the fused candidate order (`candidates`) and the ranker (`ranker`)."""
    return {
        "candidates": evaluate_lists(world, candidates.item_idx, candidates.fused),
        "ranker": evaluate_lists(world, candidates.item_idx, ranker.score(features, candidates)),
    }


def _evaluated(ranks: list[np.ndarray], lists: np.ndarray, num_items: int) -> Evaluated:
    return Evaluated(
        metrics=summarise(ranks) | {"coverage@10": coverage(lists, num_items)},
        ndcg=np.array([ndcg(r, 10) for r in ranks]),
        recall_100=np.array([recall(r, 100) for r in ranks]),
    )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The ranker against its own best source, user by user.

    Attributes:
        best_source: Source with the highest mean NDCG@10.
        difference: Mean of the ranker's NDCG@10 less the source's.
        standard_error: Of that mean, over users.
    """

    best_source: str
    difference: float
    standard_error: float


def compare_with_best(ranker: Evaluated, sources: dict[str, Evaluated]) -> Comparison:
    """Compare the ranker with the best of its sources on the same users."""
    best = max(sources, key=lambda name: sources[name].metrics["ndcg@10"])
    paired = ranker.ndcg - sources[best].ndcg
    return Comparison(
        best_source=best,
        difference=float(paired.mean()),
        standard_error=float(paired.std() / np.sqrt(len(paired))),
    )


def _targets(world: World, b: int) -> np.ndarray:
    return world.target_item[world.target_indptr[b] : world.target_indptr[b + 1]]


def _list_ranks(ranked: np.ndarray, values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """0-based ranks of targets within one scored list; ties rank a target last, absent is inf."""
    ranks = np.full(len(targets), np.inf)
    is_target = np.isin(ranked, targets)
    for row, target in enumerate(targets):
        place = np.flatnonzero(ranked == target)
        if len(place):
            value = values[place[0]]
            tied_or_above = ((values >= value) & ~is_target).sum()
            better_targets = is_target[: place[0]].sum()
            ranks[row] = tied_or_above + better_targets
    return np.sort(ranks)
