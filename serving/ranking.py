"""Ranking within a deadline, and what is done where a part fails: less, never nothing.

All sources and the ranker; without the ranker the order in which the sources agree; without all
sources those that are tables alone: item to item, next item, popular. What is missing is told.
"""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

import numpy as np

from recsys.candidates import Candidates, fuse
from recsys.joined_queries import joined_queries
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

T = TypeVar("T")

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


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be ranked.

    Attributes:
        recommender: Of a bundle.
        query: Of one user.
        budget: Keeps the time of each stage, too.
    """

    recommender: Recommender
    query: Query
    budget: Budget


def rank_within(recommender: Recommender, query: Query, budget: Budget) -> Ranked:
    """Rank for one user as well as the budget and the state of the parts allow."""
    (ranked,) = rank_together([Question(recommender=recommender, query=query, budget=budget)])
    return ranked


def rank_together(questions: Sequence[Question]) -> list[Ranked]:
    """Rank for several users at once, for each as well as its budget and the parts allow.

    What is ranked does not depend on who else is asked about. A stage takes each of them as long as
    all of them together.

    Args:
        questions: To one recommender, of the same items that may be offered; one, or such for which
            nothing was looked up.
    """
    in_time = [question.budget.allows(RETRIEVE) for question in questions]
    if all(in_time) or not any(in_time):
        return _ranked(questions, is_late=not in_time[0])
    ranked = {}
    for is_late in (False, True):
        places = [place for place, is_soon in enumerate(in_time) if is_soon != is_late]
        found = _ranked([questions[place] for place in places], is_late=is_late)
        ranked |= dict(zip(places, found, strict=True))
    return [ranked[place] for place in range(len(questions))]


def at_once(steps: Generator[Question, Ranked, T]) -> T:
    """Rank whatever is asked for, and return what comes of it."""
    try:
        question = next(steps)
        while True:
            question = steps.send(rank_together([question])[0])
    except StopIteration as end:
        return end.value


def _ranked(questions: Sequence[Question], *, is_late: bool) -> list[Ranked]:
    recommender, config = questions[0].recommender, questions[0].recommender.config.candidates
    query = joined_queries([question.query for question in questions])
    lacking: Degraded | None = "deadline" if is_late else None
    candidates: Candidates | None = None
    with _timed(RETRIEVE, questions):
        if not is_late:
            try:
                candidates = fuse(query, recommender.sources, config)
            except Exception:
                if len(questions) > 1:
                    return _one_by_one(questions)
                # Whatever is wrong with an index or a tower, tables still answer.
                _logger.exception("a candidate source failed")
                lacking = "no_index"
        if candidates is None:
            candidates = fuse(query, _tables_alone(recommender.sources), config)
    scores = np.where(candidates.item_idx < 0, -np.inf, candidates.fused).astype(np.float32)
    notes: list[Degraded | None] = [
        "deadline" if lacking is None and not question.budget.allows(FEATURES) else lacking
        for question in questions
    ]
    whole = [place for place, note in enumerate(notes) if note is None]
    if whole:
        asked = [questions[place] for place in whole]
        theirs = candidates
        if len(whole) < len(questions):
            query = joined_queries([question.query for question in asked])
            theirs = candidates.of_users(np.array(whole))
        try:
            with _timed(FEATURES, asked):
                features = pair_features(query, theirs, recommender.features, recommender.text)
            with _timed(RANK, asked):
                scores[whole] = recommender.ranker.score(features, theirs)
        except Exception:
            if len(questions) > 1:
                return _one_by_one(questions)
            _logger.exception("the ranker failed")
            notes = ["no_ranker"]
    return [
        Ranked(
            candidates=candidates.of_users(slice(place, place + 1)),
            scores=scores[place : place + 1],
            lacking=note,
        )
        for place, note in enumerate(notes)
    ]


def _one_by_one(questions: Sequence[Question]) -> list[Ranked]:
    """Rank for each alone: what fails for one is no other's loss."""
    return [rank_together([question])[0] for question in questions]


@contextmanager
def _timed(stage: str, questions: Sequence[Question]) -> Iterator[None]:
    """Take the time of a block for all of the questions."""
    started = perf_counter()
    try:
        yield
    finally:
        seconds = perf_counter() - started
        for question in questions:
            question.budget.times.add(stage, seconds)


def _tables_alone(sources: list[CandidateSource]) -> list[CandidateSource]:
    return [source for source in sources if isinstance(source, NeighbourSource | PopularSource)]
