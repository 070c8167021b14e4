"""Full-ranking evaluation of sources, peers and the ranker on one world's questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recsys.candidates import CandidateConfig, Candidates, fuse, joined_candidates
from recsys.item_similarity import entries
from recsys.list_metrics import coverage, gini, novelty
from recsys.metrics import ndcg, recall, summarise, target_ranks
from recsys.pair_features import pair_features
from recsys.query import Query
from recsys.satisfaction_metrics import summarise_satisfaction
from recsys.sources import CandidateSource
from recsys.world import World

BATCH_USERS = 512
LEAST_VOTE = 0.05


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
    joined = joined_candidates([candidates for candidates, _ in parts])
    return joined, np.concatenate([features for _, features in parts])


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What a ranker learns from: users of one or more worlds who took something retrieved.

    Attributes:
        candidates: Of B users.
        features: Their pair features, shape (B, K, F).
        grades: Of `recsys.grades`, int8, shape (B, K).
        num_targets: Held-out items of each user, retrieved or not, shape (B,).
        num_asked: Users that were asked about, with those of whom nothing was retrieved.
    """

    candidates: Candidates
    features: np.ndarray
    grades: np.ndarray
    num_targets: np.ndarray
    num_asked: int


def lessons(
    worlds: Sequence[World],
    sources: Sequence[list[CandidateSource]],
    config: CandidateConfig,
) -> Lessons:
    """Ask about the held-out items of worlds, each by its own sources."""
    parts = []
    for world, of_world in zip(worlds, sources, strict=True):
        for part, query in user_batches(world):
            candidates = fuse(query, of_world, config)
            grades = _grades(world, part, candidates.item_idx)
            users = np.flatnonzero(grades.any(1))
            kept = candidates.of_users(users)
            asked = world.population.query(world.asked[part][users])
            features = pair_features(asked, kept, world.features, world.text)
            num_targets = np.diff(world.target_indptr)[part][users]
            parts.append((kept, features, grades[users], num_targets))
    return Lessons(
        candidates=joined_candidates([kept for kept, *_ in parts]),
        features=np.concatenate([features for _, features, *_ in parts]),
        grades=np.concatenate([grades for *_, grades, _ in parts]),
        num_targets=np.concatenate([num for *_, num in parts]),
        num_asked=sum(len(world.asked) for world in worlds),
    )


def _grades(world: World, part: slice, item_idx: np.ndarray) -> np.ndarray:
    """Return the grade of each candidate of a batch of asked users, 0 where it is no target."""
    start, end = world.target_indptr[[part.start, part.stop]]
    indptr = world.target_indptr[part.start : part.stop + 1] - start
    taken = (world.target_grade[start:end], world.target_item[start:end], indptr)
    grades = sp.csr_matrix(taken, shape=(len(item_idx), len(world.items)))
    grades.sort_indices()
    found = entries(grades, np.arange(len(item_idx)), np.maximum(item_idx, 0))
    return np.where(item_idx >= 0, found, 0).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """How good one ranking is.

    Attributes:
        metrics: See `recsys.metrics.summarise` and
            `recsys.satisfaction_metrics.summarise_satisfaction`; and of the first ten places
            coverage, Gini coefficient and novelty in bits.
        ndcg: NDCG@10 of each asked user, for paired comparisons, shape (B,).
        recall_100: Recall@100 of each asked user, likewise, shape (B,).
        ranks: 0-based rank of each target of the world, inf where it was not ranked, shape (T,).
        lists: The first ten places of each asked user, in any order, -1 for padding, shape (B, 10).
    """

    metrics: dict[str, float]
    ndcg: np.ndarray
    recall_100: np.ndarray
    ranks: np.ndarray
    lists: np.ndarray


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
    return _evaluated(world, ranks, np.concatenate(lists))


def source_weights(
    world: World, sources: Sequence[CandidateSource], *, most_users: int, seed: int
) -> dict[str, float]:
    """Return what the vote of each source is worth: its NDCG@10 against the best one's.

    Args:
        world: One whose targets may be learned from.
        sources: Fitted on it.
        most_users: So many are asked, drawn at random.
        seed: Of the draw.

    Returns:
        Weights by name, within `LEAST_VOTE`..1: also the worst is heard where no other speaks.
    """
    if len(world.asked) > most_users:
        draw = np.random.default_rng(seed).choice(len(world.asked), most_users, replace=False)
        world = world.asking(np.sort(draw))
    found = {source.name: evaluate_source(world, source).metrics["ndcg@10"] for source in sources}
    best = max(found.values())
    if best == 0:
        return dict.fromkeys(found, 1.0)
    return {name: max(LEAST_VOTE, value / best) for name, value in found.items()}


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
    return _evaluated(world, ranks, ranked[:, :10])


def evaluate_ranker(
    world: World, candidates: Candidates, scores: np.ndarray
) -> dict[str, Evaluated]:
    """Measure the fused candidate order (`candidates`) and the ranker's scores (`ranker`)."""
    return {
        "candidates": evaluate_lists(world, candidates.item_idx, candidates.fused),
        "ranker": evaluate_lists(world, candidates.item_idx, scores),
    }


def _evaluated(world: World, ranks: list[np.ndarray], lists: np.ndarray) -> Evaluated:
    num_items, bought = len(world.items), world.population.bought
    grades = np.split(world.target_grade, world.target_indptr[1:-1])
    return Evaluated(
        metrics=summarise(ranks)
        | summarise_satisfaction(ranks, grades, 10)
        | {
            "coverage@10": coverage(lists, num_items),
            "gini@10": gini(lists, num_items),
            "novelty@10": novelty(lists, bought.popularity(), bought.num_users),
        },
        ndcg=np.array([ndcg(r, 10) for r in ranks]),
        recall_100=np.array([recall(r, 100) for r in ranks]),
        ranks=np.concatenate(ranks),
        lists=lists,
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
    return ranks
