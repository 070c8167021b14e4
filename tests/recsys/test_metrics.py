import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recsys.evaluation import evaluate_lists
from recsys.grades import BOUGHT
from recsys.metrics import (
    average_precision,
    graded_ndcg,
    hit_rate,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
    summarise,
    target_ranks,
)

# Scores from few values, so that ties are common.
SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=3, max_size=15)


def naive_ranks(scores: list[float], excluded: set[int], targets: set[int]) -> list[float]:
    """Sort by score; at equal scores other items go before targets."""
    offered = [item for item in range(len(scores)) if item not in excluded]
    ordered = sorted(offered, key=lambda item: (-scores[item], item in targets))
    return [float(place) for place, item in enumerate(ordered) if item in targets]


def naive_ndcg(ranks: list[float], k: int) -> float:
    gained = sum(1 / math.log2(rank + 2) for rank in ranks if rank < k)
    return gained / sum(1 / math.log2(place + 2) for place in range(min(k, len(ranks))))


@st.composite
def ranking(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = draw(SCORES)
    items = draw(st.permutations(range(len(scores))))
    num_targets = draw(st.integers(1, len(scores) - 1))
    num_excluded = draw(st.integers(0, len(scores) - num_targets))
    targets, excluded = items[:num_targets], items[num_targets : num_targets + num_excluded]
    return np.array(scores), np.array(excluded, dtype=int), np.array(targets)


def shop_of(targets: np.ndarray, num_items: int) -> Any:
    """As much of a world as the evaluation of lists reads: one user's question."""
    return SimpleNamespace(
        asked=np.array([0]),
        target_indptr=np.array([0, len(targets)]),
        target_item=targets,
        target_grade=np.full(len(targets), BOUGHT, dtype=np.int8),
        items=range(num_items),
        population=SimpleNamespace(
            bought=SimpleNamespace(popularity=lambda: np.ones(num_items), num_users=1)
        ),
    )


# The published example q_1, q_2: relevant documents are at ranks 0, 2 and 1, 4.
def test_published_values_of_the_two_queries() -> None:
    queries = [np.array([0.0, 2.0]), np.array([1.0, 4.0])]
    assert np.mean([reciprocal_rank(ranks) for ranks in queries]) == pytest.approx(0.75)
    assert np.mean([recall(ranks, 5) for ranks in queries]) == 1.0
    by_hand = [
        (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3)),
        (1 / math.log2(3) + 1 / math.log2(6)) / (1 + 1 / math.log2(3)),
    ]
    assert [ndcg(ranks, 5) for ranks in queries] == pytest.approx(by_hand)
    assert np.mean([precision(ranks, 5) for ranks in queries]) == pytest.approx(0.4)
    assert np.mean([average_precision(ranks, 5) for ranks in queries]) == pytest.approx(0.6416667)
    assert np.mean([hit_rate(ranks, 5) for ranks in queries]) == 1.0
    grades = [np.array([5.0, 3.0]), np.array([6.0, 1.0])]
    graded = [graded_ndcg(*query, 5) for query in zip(queries, grades, strict=True)]
    assert np.mean(graded) == pytest.approx(0.7861261)
    exponential = [graded_ndcg(r, 2**g - 1, 5) for r, g in zip(queries, grades, strict=True)]
    assert np.mean(exponential) == pytest.approx(0.8024377)


def test_the_published_runs_give_those_ranks() -> None:
    run_1 = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])  # d_12 d_23 d_25 d_36 d_32 d_35
    run_2 = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])  # d_12 d_11 d_25 d_36 d_22 d_35
    none = np.array([], dtype=int)
    assert target_ranks(run_1, none, np.array([0, 2])).tolist() == [0.0, 2.0]
    assert target_ranks(run_2, none, np.array([1, 4])).tolist() == [1.0, 4.0]


@pytest.mark.parametrize(
    ("scores", "excluded", "targets", "ranks"),
    [
        ([1.0, 1.0, 1.0], [], [0], [2.0]),
        ([1.0, 1.0, 1.0], [1], [0], [1.0]),
        ([1.0, 1.0, 1.0], [], [0, 2], [1.0, 2.0]),
        ([0.1, 0.9, 0.5], [], [0, 1], [2.0, 0.0]),
        ([0.1, -math.inf, 0.5], [], [1], [math.inf]),
        ([0.1, -math.inf, 0.5], [], [1, 2], [math.inf, 0.0]),
        ([0.0, 0.0], [], [1], [1.0]),
    ],
)
def test_target_ranks(
    scores: list[float], excluded: list[int], targets: list[int], ranks: list[float]
) -> None:
    found = target_ranks(np.array(scores), np.array(excluded, dtype=int), np.array(targets))
    assert found.tolist() == ranks


def test_ranks_stand_in_the_order_of_the_targets() -> None:
    scores, none = np.array([0.1, 0.9, 0.5]), np.array([], dtype=int)
    assert target_ranks(scores, none, np.array([0, 1])).tolist() == [2.0, 0.0]
    assert target_ranks(scores, none, np.array([1, 0])).tolist() == [0.0, 2.0]


@given(ranking())
def test_target_ranks_against_a_sort(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, excluded, targets = drawn
    wanted = naive_ranks(scores.tolist(), set(excluded.tolist()), set(targets.tolist()))
    assert sorted(target_ranks(scores, excluded, targets)) == wanted


@given(ranking(), st.integers(1, 12))
def test_metrics_against_plain_python_and_within_zero_and_one(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], k: int
) -> None:
    ranks = target_ranks(*drawn)
    assert ndcg(ranks, k) == pytest.approx(naive_ndcg(ranks.tolist(), k))
    assert recall(ranks, k) == sum(rank < k for rank in ranks) / len(ranks)
    assert reciprocal_rank(ranks) == 1 / (1 + min(ranks))
    found = sorted(rank for rank in ranks if rank < k)
    precisions = [(place + 1) / (rank + 1) for place, rank in enumerate(found)]
    assert average_precision(ranks, k) == pytest.approx(sum(precisions) / len(ranks))
    assert graded_ndcg(ranks, np.ones(len(ranks)), k) == pytest.approx(ndcg(ranks, k))
    values = [metric(ranks, k) for metric in (ndcg, recall, average_precision, precision, hit_rate)]
    for value in [*values, reciprocal_rank(ranks)]:
        assert 0.0 <= value <= 1.0 + 1e-12


@given(ranking(), st.randoms(use_true_random=False))
def test_relabelling_what_is_no_target_changes_nothing(drawn: Any, random: Any) -> None:
    scores, excluded, targets = drawn
    others = [i for i in range(len(scores)) if i not in set(targets) | set(excluded)]
    shuffled = others.copy()
    random.shuffle(shuffled)
    permuted = scores.copy()
    permuted[others] = scores[shuffled]
    before, after = (target_ranks(s, excluded, targets) for s in (scores, permuted))
    assert before.tolist() == after.tolist()


@given(ranking(), st.integers(1, 12))
def test_the_ideal_ranking_scores_one(drawn: Any, k: int) -> None:
    scores, excluded, targets = drawn
    ideal = scores.copy()
    ideal[targets] = 2.0
    ranks = target_ranks(ideal, excluded, targets)
    assert ndcg(ranks, k) == pytest.approx(1.0)
    assert recall(ranks, len(targets)) == reciprocal_rank(ranks) == 1.0
    assert average_precision(ranks, len(targets)) == 1.0


@given(ranking())
def test_raising_a_target_never_lowers_a_metric(drawn: Any) -> None:
    scores, excluded, targets = drawn
    raised = scores.copy()
    raised[targets[0]] += 1.0
    before, after = (target_ranks(s, excluded, targets) for s in (scores, raised))
    assert ndcg(after, 10) >= ndcg(before, 10) - 1e-12
    assert reciprocal_rank(after) >= reciprocal_rank(before)


@given(ranking(), st.randoms(use_true_random=False))
def test_lists_of_everything_rank_as_the_catalogue_does(drawn: Any, random: Any) -> None:
    scores, excluded, targets = drawn
    offered = [item for item in range(len(scores)) if item not in set(excluded)]
    random.shuffle(offered)
    padded = np.array([[*offered, -1, -1]])
    listed = np.array([[*scores[offered], -np.inf, -np.inf]])

    found = evaluate_lists(shop_of(targets, len(scores)), padded, listed)

    wanted = summarise([target_ranks(scores, excluded, targets)])
    metrics = cast(Any, found).metrics
    assert {name: metrics[name] for name in wanted} == pytest.approx(wanted)


def test_what_is_not_listed_is_not_found() -> None:
    shop = shop_of(np.array([3, 4]), 6)
    found = evaluate_lists(shop, np.array([[1, 3, -1]]), np.array([[0.5, 0.4, -np.inf]]))
    assert found.metrics["recall@10"] == 0.5
    assert found.metrics["mrr"] == 0.5
    assert found.metrics["coverage@10"] == pytest.approx(2 / 6)


@given(st.lists(ranking(), min_size=1, max_size=5))
def test_a_summary_is_the_mean_over_users(users: list[Any]) -> None:
    assume(users)
    ranks = [target_ranks(*user) for user in users]
    summary = summarise(ranks)
    assert summary["ndcg@10"] == pytest.approx(np.mean([ndcg(r, 10) for r in ranks]))
    assert summary["recall@100"] == summary["recall@200"] == 1.0


def test_a_summary_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="no users"):
        summarise([])
