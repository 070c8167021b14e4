"""What is ranked together is what each would get alone, and nobody waits for another's fault."""

import asyncio
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from live_shop import live_shop
from published_shop import Published

from recsys.pair_features import pair_features
from recsys.query import Query
from serving.ranking import FEATURES, RANK, RETRIEVE, Budget, Question, Ranked, rank_together
from serving.ranking_lots import MAX_TOGETHER, RankingLots
from serving.snapshot import Snapshot


@pytest.fixture(scope="module")
def snapshot(
    published_once: Published, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Snapshot]:
    with live_shop(published_once.store, tmp_path_factory.mktemp("log")) as shop:
        assert shop.state.snapshot is not None
        yield shop.state.snapshot


def questions(snapshot: Snapshot, num: int, **budget: object) -> list[Question]:
    users = list(snapshot.user_index)[:num]
    assert len(users) == num
    found = []
    for user in users:
        query = snapshot.query(user)
        assert query is not None
        within = Budget(**budget)  # type: ignore[arg-type]
        found.append(Question(recommender=snapshot.recommender, query=query, budget=within))
    return found


def assert_same(together: Ranked, alone: Ranked) -> None:
    assert together.lacking == alone.lacking
    # A catalogue as small as this has no text index: BLAS multiplies matrices in another order.
    np.testing.assert_allclose(together.scores, alone.scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        together.candidates.score, alone.candidates.score, rtol=1e-5, atol=1e-6
    )
    for name in ("item_idx", "fused", "rank", "last"):
        ours, theirs = getattr(together.candidates, name), getattr(alone.candidates, name)
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


@pytest.mark.parametrize("num", [2, 7, MAX_TOGETHER])
def test_a_list_does_not_depend_on_who_else_is_asked_about(snapshot: Snapshot, num: int) -> None:
    asked = questions(snapshot, num)
    stranger = replace(asked[0], query=Query.of_stranger(), budget=Budget())
    asked = [*asked[:-1], stranger]
    for together, question in zip(rank_together(asked), asked, strict=True):
        assert_same(together, rank_together([question])[0])
        assert set(question.budget.times.seconds) == {RETRIEVE, FEATURES, RANK}


def test_who_is_late_does_without_and_the_others_do_not(snapshot: Snapshot) -> None:
    asked = questions(snapshot, 4)
    hopeless, hasty = Budget(seconds=-1.0), Budget(seconds=100.0)
    hasty.costs.learn({RANK: 1e6, RETRIEVE: -1e6})
    asked = [
        asked[0],
        replace(asked[1], budget=hopeless),
        replace(asked[2], budget=hasty),
        asked[3],
    ]
    found = rank_together(asked)
    assert [ranked.lacking for ranked in found] == [None, "deadline", "deadline", None]
    for place in (0, 3):
        assert_same(found[place], rank_together([replace(asked[place], budget=Budget())])[0])
    # The second has tables alone to go by, the third all sources.
    assert len(found[1].candidates.sources) < len(found[2].candidates.sources)


def test_one_that_cannot_be_ranked_costs_others_nothing(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(snapshot, 3)
    whole = [rank_together([question])[0] for question in asked]
    odd = asked[1].query.user

    def choosy(query: Query, *rest: Any) -> np.ndarray:
        if (np.nan_to_num(query.user) == np.nan_to_num(odd)).all(1).any():
            raise ValueError("of this user nothing can be told")
        return pair_features(query, *rest)

    monkeypatch.setattr("serving.ranking.pair_features", choosy)
    first, second, third = rank_together(asked)
    assert second.lacking == "no_ranker"
    assert_same(first, whole[0])
    assert_same(third, whole[2])


def test_what_waits_is_ranked_at_once(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counted(asked: list[Question]) -> list[Ranked]:
        sizes.append(len(asked))
        return rank_together(asked)

    monkeypatch.setattr("serving.ranking_lots.rank_together", counted)
    asked = questions(snapshot, MAX_TOGETHER + 4)
    few = np.zeros(len(snapshot.catalogue), dtype=bool)
    few[:20] = True
    filtered = replace(asked[-1].query, allowed=few)
    asked[-1] = replace(asked[-1], query=filtered)
    assert [len(found.scores) for found in at_once(asked)] == [1] * len(asked)
    # The first lot is full; of the second, one asks for other items.
    assert sorted(sizes) == [1, 3, MAX_TOGETHER]


def test_whoever_leaves_is_not_waited_for(snapshot: Snapshot) -> None:
    asked = questions(snapshot, 3)
    lots = RankingLots()

    async def ask() -> list[Ranked | BaseException]:
        tasks = [asyncio.create_task(lots.through(one(question))) for question in asked]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert isinstance(second, asyncio.CancelledError)
    for found, question in ((first, asked[0]), (third, asked[2])):
        assert isinstance(found, Ranked)
        assert_same(found, rank_together([question])[0])
    # The same lots serve another loop.
    assert_same(at_once([asked[1]], lots)[0], rank_together([asked[1]])[0])


def test_a_failure_reaches_whoever_asked(snapshot: Snapshot) -> None:
    broken: Any = replace(snapshot.recommender, sources=None)  # type: ignore[arg-type]
    asked = [replace(question, recommender=broken) for question in questions(snapshot, 2)]
    with pytest.raises(TypeError, match="NoneType"):
        at_once(asked)


def one(question: Question) -> Generator[Question, Ranked, Ranked]:
    """Ask for one ranking and return it."""
    return (yield question)


def at_once(asked: list[Question], lots: RankingLots | None = None) -> list[Ranked]:
    lots = lots or RankingLots()

    async def ask() -> list[Ranked]:
        return await asyncio.gather(*(lots.through(one(question)) for question in asked))

    return asyncio.run(ask())
