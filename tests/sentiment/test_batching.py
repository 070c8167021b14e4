import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.batching import token_budget_batches

LENGTHS = st.lists(st.integers(1, 60), max_size=50).map(lambda x: np.array(x, dtype=np.int64))


@given(LENGTHS, st.integers(1, 200))
def test_every_text_is_in_exactly_one_batch(lengths: np.ndarray, budget: int) -> None:
    batches = list(token_budget_batches(lengths, budget))
    indices = [row for batch in batches for row in batch.tolist()]
    assert sorted(indices) == list(range(len(lengths)))
    assert all(len(batch) for batch in batches)


@given(LENGTHS, st.integers(1, 200))
def test_padded_batches_keep_the_budget_unless_of_one_text(
    lengths: np.ndarray, budget: int
) -> None:
    for batch in token_budget_batches(lengths, budget):
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@given(LENGTHS, st.integers(1, 200))
def test_longest_comes_first_and_ties_keep_their_order(lengths: np.ndarray, budget: int) -> None:
    indices = [row for batch in token_budget_batches(lengths, budget) for row in batch.tolist()]
    assert indices == sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))


def test_batches_of_a_known_case() -> None:
    batches = token_budget_batches(np.array([3, 9, 2, 4, 1]), 8)
    assert [batch.tolist() for batch in batches] == [[1], [3, 0], [2, 4]]


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_without_room_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match=f"max_tokens must be at least 1, not {budget}"):
        list(token_budget_batches(np.array([1]), budget))
