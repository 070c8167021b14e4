from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_shop import random_query

from recsys.candidates import CandidateConfig, Candidates, fuse
from recsys.query import Query
from recsys.rankings import Ranking, best_first, ranked_dense

NUM_USERS, NUM_ITEMS = 6, 12
# Few values, so that ties and silence (0) are common.
VALUES = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0])
SCORES = hnp.arrays(
    np.float32, (NUM_USERS, NUM_ITEMS), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])
)


@dataclass(frozen=True)
class Fixed:
    """A source that says what the test wants it to."""

    name: str
    scores: np.ndarray

    def score(self, query: Query) -> np.ndarray:
        return self.scores.copy()

    def rank(self, query: Query, depth: int) -> Ranking:
        return ranked_dense(self.score(query), query, depth)


def naive_ranks(scores: np.ndarray, banned: np.ndarray, depth: int) -> dict[int, int]:
    """Place of each item in one user's ranking; items within `depth` that say something."""
    order = sorted(np.flatnonzero(~banned), key=lambda item: (-scores[item], item))
    return {int(item): place for place, item in enumerate(order[:depth]) if scores[item] > 0}


@given(hnp.arrays(np.float32, (3, 8), elements=VALUES), st.integers(1, 10))
def test_best_first_against_a_sort(scores: np.ndarray, k: int) -> None:
    for row, found in zip(scores, best_first(scores, k).tolist(), strict=True):
        wanted = sorted(range(8), key=lambda c: (-row[c], c))[:k]
        assert row[found].tolist() == row[wanted].tolist()
        assert len(set(found)) == len(found)
        if row[wanted[-1]] != 0 and np.isfinite(row[wanted[-1]]):
            assert found == wanted


@given(
    a=SCORES,
    b=SCORES,
    seed=st.integers(0, 20),
    allowed=st.one_of(st.none(), hnp.arrays(bool, NUM_ITEMS)),
    k=st.integers(1, 15),
    depth=st.integers(1, 15),
)
def test_candidates_against_a_loop(
    a: np.ndarray, b: np.ndarray, seed: int, allowed: np.ndarray | None, k: int, depth: int
) -> None:
    query = replace(random_query(seed), allowed=allowed)
    config = CandidateConfig(num_candidates=k, depth=depth, constant=3.0, weights={"b": 2.0})

    found = fuse(query, [Fixed("a", a), Fixed("b", b)], config)

    assert found.sources == ("a", "b")
    assert found.item_idx.shape == (NUM_USERS, k)
    assert found.score.shape == found.rank.shape == (*found.item_idx.shape, 2)
    for user in range(NUM_USERS):
        bought = query.bought.item_idx[query.bought.indptr[user] : query.bought.indptr[user + 1]]
        banned = np.isin(np.arange(NUM_ITEMS), bought)
        if allowed is not None:
            banned |= ~allowed
        ranks = [naive_ranks(s[user], banned, depth) for s in (a, b)]
        fused = {
            item: sum(w / (3.0 + r[item]) for w, r in zip((1, 2), ranks, strict=True) if item in r)
            for item in {*ranks[0], *ranks[1]}
        }
        listed = found.item_idx[user]
        real = listed >= 0
        size = min(k, len(fused))
        assert real.tolist() == [True] * size + [False] * (len(listed) - size), "padding is last"
        assert len(set(listed[real])) == size
        assert not banned[listed[real]].any()
        best = sorted(fused.values(), reverse=True)[:size]
        np.testing.assert_allclose(found.fused[user, real], best, rtol=1e-5)
        np.testing.assert_allclose([fused[item] for item in listed[real].tolist()], best, rtol=1e-5)
        assert not found.fused[user, ~real].any()
        for place in np.flatnonzero(real):
            item = int(listed[place])
            assert found.rank[user, place].tolist() == [r.get(item, depth) for r in ranks]
            wanted = [s[user, item] / max(abs(s[user]).max(), 1e-9) for s in (a, b)]
            np.testing.assert_allclose(found.score[user, place], wanted, rtol=1e-5)


def test_nothing_to_say_is_padding() -> None:
    silent = Fixed("a", np.zeros((1, NUM_ITEMS), dtype=np.float32))
    found = fuse(Query.of_stranger(), [silent], CandidateConfig(num_candidates=4))
    assert found.item_idx.tolist() == [[-1] * 4]
    assert isinstance(found, Candidates)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_candidates": 0}, "must be at least 1"),
        ({"depth": 0}, "must be at least 1"),
        ({"constant": 0.0}, "constant must be positive, not 0.0"),
    ],
)
def test_a_config_out_of_range_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CandidateConfig(**wrong)
