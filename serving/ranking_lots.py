"""What waits in one replica is ranked together.

Of the time that a single list takes a third is spent between its compiled loops; several at once
share it. Nobody is waited for: a lot is what came in the same turn of the event loop, while the one
before was ranked. A list is the one that its user would get alone, but for the last digit of sums
where a catalogue is so small that it is multiplied whole.
"""

import asyncio
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

from recsys.joined_queries import is_joinable
from serving.ranking import Question, Ranked, rank_together

MAX_TOGETHER = 16
"""Users in a lot. From 20 on FAISS multiplies in another order."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Lot:
    loop: asyncio.AbstractEventLoop
    waiting: list[tuple[Question, asyncio.Future[Ranked]]] = field(default_factory=list)


class RankingLots:
    """Collects questions and ranks them; for one event loop at a time."""

    def __init__(self) -> None:
        self._open: _Lot | None = None

    async def through(self, steps: Generator[Question, Ranked, T]) -> T:
        """Rank whatever is asked for, among what others ask, and return what comes of it."""
        try:
            question = next(steps)
            while True:
                question = steps.send(await self._ranked(question))
        except StopIteration as end:
            return end.value

    async def _ranked(self, question: Question) -> Ranked:
        loop = asyncio.get_running_loop()
        lot = self._open
        if lot is None or lot.loop is not loop:
            lot = self._open = _Lot(loop)
            loop.call_soon(self._rank, lot)
        future = loop.create_future()
        lot.waiting.append((question, future))
        if len(lot.waiting) == MAX_TOGETHER:
            self._open = None
        return await future

    def _rank(self, lot: _Lot) -> None:
        if self._open is lot:
            self._open = None
        alike: dict[tuple[int, ...], list[tuple[Question, asyncio.Future[Ranked]]]]
        alike = defaultdict(list)
        for question, future in lot.waiting:
            # Who has gone is not waited for.
            if not future.done():
                alike[_kind(question)].append((question, future))
        for group in alike.values():
            try:
                found = rank_together([question for question, _ in group])
            except Exception as error:
                for _, future in group:
                    future.set_exception(error)
                continue
            for (_, future), ranked in zip(group, found, strict=True):
                future.set_result(ranked)


def _kind(question: Question) -> tuple[int, ...]:
    """Return what questions that can be ranked together have in common."""
    recommender, query = question.recommender, question.query
    if not is_joinable(query):
        return (id(question),)
    return id(recommender), id(query.allowed)
