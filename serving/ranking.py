"""Ranking within a deadline, and what is done where a part fails: less, never nothing.

All sources and the ranker; without the ranker the order in which the sources agree; without all
sources those that are tables alone: item to item, next item, popular. What is missing is told.
"""

import logging
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from recsys.candidates import Candidates, fuse
from recsys.pair_features import pair_features
from recsys.query import Query
from recsys.recommender import Recommender
from recsys.sources import CandidateSource, NeighbourSource, PopularSource
from serving.metrics import StageTimes
from serving.schema import Degraded

RETRIEVE, FEATURES, RANK, RERANK, WRITE = "retrieve", "features", "rank", "rerank", "write"
DEBUG = "debug"
"""Beside the others: nobody's deadline counts on it."""
_STAGES = (RETRIEVE, FEATURES, RANK, RERANK, WRITE)
_SMOOTHING = 0.1

_logger = logging.getLogger(__name__)


class StageCosts:
    """What stages take in this process, learned as it answers."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(_STAGES, 0.0)

    def learn(self, seconds: dict[str, float]) -> None:
        """Take in the times of an answer.

        A stage that was left out is expected to take a little less from then on: what was slow once
        is tried again.
        """
        for stage, expected in self._seconds.items():
            took = seconds.get(stage, 0.0)
            self._seconds[stage] = expected + _SMOOTHING * (took - expected)

    def from_on(self, stage: str) -> float:
        """Return how many seconds a stage and all after it are expected to take."""
        return sum(self._seconds[later] for later in _STAGES[_STAGES.index(stage) :])


@dataclass(kw_only=True)
class Budget:
    """The time an answer may take.

    Attributes:
        seconds: From `started` on; None for as long as it takes.
        costs: Of the stages.
        started: By `time.perf_counter`.
        times: What its stages took.
    """

    seconds: float | None = None
    costs: StageCosts = field(default_factory=StageCosts)
    started: float = field(default_factory=perf_counter)
    times: StageTimes = field(default_factory=StageTimes)

    def allows(self, stage: str) -> bool:
        """Tell whether a stage and all after it are expected to fit in what is left."""
        if self.seconds is None:
            return True
        left = self.seconds - (perf_counter() - self.started)
        return self.costs.from_on(stage) <= left


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One user's candidates and how they were found.

    Attributes:
        candidates: Of one user.
        scores: Higher is better, -inf for padding, float32, shape (1, K).
        lacking: What was left out, None for nothing.
    """

    candidates: Candidates
    scores: np.ndarray
    lacking: Degraded | None = None


def rank_within(recommender: Recommender, query: Query, budget: Budget) -> Ranked:
    """Rank for one user as well as the budget and the state of the parts allow.

    Args:
        recommender: Of a bundle.
        query: Of one user.
        budget: Keeps the time of each stage, too.
    """
    config = recommender.config.candidates
    lacking: Degraded | None = None
    candidates: Candidates | None = None
    with budget.times.stage(RETRIEVE):
        if budget.allows(RETRIEVE):
            try:
                candidates = fuse(query, recommender.sources, config)
            except Exception:
                # Whatever is wrong with an index or a tower, tables still answer.
                _logger.exception("a candidate source failed")
                lacking = "no_index"
        else:
            lacking = "deadline"
        if candidates is None:
            candidates = fuse(query, _tables_alone(recommender.sources), config)
    if lacking is None and not budget.allows(FEATURES):
        lacking = "deadline"
    if lacking is None:
        try:
            with budget.times.stage(FEATURES):
                features = pair_features(query, candidates, recommender.features, recommender.text)
            with budget.times.stage(RANK):
                scores = recommender.ranker.score(features, candidates)
            return Ranked(candidates=candidates, scores=scores)
        except Exception:
            _logger.exception("the ranker failed")
            lacking = "no_ranker"
    fused = np.where(candidates.item_idx < 0, -np.inf, candidates.fused).astype(np.float32)
    return Ranked(candidates=candidates, scores=fused, lacking=lacking)


def _tables_alone(sources: list[CandidateSource]) -> list[CandidateSource]:
    return [source for source in sources if isinstance(source, NeighbourSource | PopularSource)]
