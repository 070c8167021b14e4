import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_shop import random_interactions

from recsys.interactions import Interactions
from recsys.item_similarity import (
    co_visitation,
    entries,
    keep_strongest,
    linear_autoencoder,
    transitions,
    two_steps,
)

SEEDS = [0, 1, 2]


def dense(interactions: Interactions) -> np.ndarray:
    counts = np.zeros((interactions.num_users, interactions.num_items))
    counts[interactions.user_idx, interactions.item_idx] = 1.0
    return counts


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
def test_co_visitation_against_the_dense_formula(seed: int, shrinkage: float) -> None:
    interactions = random_interactions(seed)
    counts = dense(interactions)
    popularity = counts.sum(0)
    wanted = (
        counts.T @ counts / np.maximum(np.sqrt(np.outer(popularity, popularity)) + shrinkage, 1e-12)
    )
    np.fill_diagonal(wanted, 0.0)
    table = co_visitation(interactions, shrinkage=shrinkage, max_neighbours=99)
    np.testing.assert_allclose(table.toarray(), wanted, atol=1e-6)
    assert table.dtype == np.float32


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("max_gap", "backward"), [(1, 0.0), (3, 0.5), (50, 1.0)])
def test_transitions_against_a_loop(seed: int, max_gap: int, backward: float) -> None:
    interactions = random_interactions(seed)
    wanted = np.zeros((12, 12))
    for user in range(interactions.num_users):
        taken = interactions.item_idx[interactions.user_idx == user]
        for earlier in range(len(taken)):
            for later in range(earlier + 1, min(len(taken), earlier + max_gap + 1)):
                weight = 1.0 / np.sqrt(later - earlier)
                wanted[taken[earlier], taken[later]] += weight
                wanted[taken[later], taken[earlier]] += backward * weight
    popularity = interactions.popularity()
    wanted /= np.sqrt(np.outer(popularity, popularity)) + 2.0
    table = transitions(
        interactions, max_gap=max_gap, backward=backward, shrinkage=2.0, max_neighbours=99
    )
    np.testing.assert_allclose(table.toarray(), wanted, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_steps_are_the_square_without_its_diagonal(seed: int) -> None:
    table = co_visitation(random_interactions(seed), shrinkage=1.0, max_neighbours=99)
    wanted = table.toarray() @ table.toarray()
    np.fill_diagonal(wanted, 0.0)
    found = two_steps(table, max_neighbours=99)
    np.testing.assert_allclose(found.toarray(), wanted, atol=1e-6)
    assert found.dtype == np.float32


def test_two_steps_follow_the_strongest_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.item_similarity._STRONGEST_STEPS", 1)
    table = sp.csr_matrix(np.array([[0, 3, 2], [1, 0, 4], [5, 1, 0]], dtype=np.float32))
    assert two_steps(table, max_neighbours=9).toarray().tolist() == [
        [0, 0, 12],
        [20, 0, 0],
        [0, 15, 0],
    ]


@given(st.integers(0, 2**32 - 1))
def test_entries_are_those_of_the_dense_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense_table = np.where(rng.random((6, 6)) < 0.4, rng.normal(size=(6, 6)), 0.0)
    rows = rng.integers(-1, 6, 4)
    columns = rng.integers(0, 6, (4, 3))
    found = entries(keep_strongest(sp.csr_matrix(dense_table), 6), rows, columns)
    wanted = np.where(rows[:, None] < 0, 0.0, dense_table[rows[:, None], columns])
    np.testing.assert_allclose(found, wanted.astype(np.float32))
    assert found.dtype == np.float32


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_autoencoder_minimises_its_regression(seed: int) -> None:
    interactions = random_interactions(seed)
    counts, l2 = dense(interactions), 3.0
    table = linear_autoencoder(interactions, l2=l2, max_neighbours=99).toarray()
    # Column by column: ridge regression of an item on all the others.
    wanted = np.zeros_like(table)
    for item in range(12):
        others = np.delete(np.arange(12), item)
        gram = counts[:, others].T @ counts[:, others] + l2 * np.eye(11)
        wanted[others, item] = np.linalg.solve(gram, counts[:, others].T @ counts[:, item])
    np.testing.assert_allclose(table, wanted, atol=1e-5)
    assert not table.diagonal().any()


@given(
    hnp.arrays(np.float32, (6, 6), elements=st.sampled_from([0.0, -3.0, -1.0, 0.5, 2.0, 4.0])),
    st.integers(1, 7),
)
def test_keep_strongest_keeps_the_largest_magnitudes_of_each_row(
    table: np.ndarray, max_neighbours: int
) -> None:
    kept = keep_strongest(sp.csr_matrix(table), max_neighbours)
    assert kept.has_sorted_indices
    for row, values in zip(kept.toarray(), table, strict=True):
        size = min(max_neighbours, np.count_nonzero(values))
        assert np.count_nonzero(row) == size
        assert np.array_equal(row[row != 0], values[row != 0])
        strongest = np.sort(np.abs(values))[::-1][:size]
        assert np.sort(np.abs(row[row != 0]))[::-1].tolist() == strongest.tolist()


def test_tables_of_no_interactions_are_empty() -> None:
    nobody = random_interactions(0).keep(np.zeros(len(random_interactions(0)), dtype=bool))
    assert co_visitation(nobody, shrinkage=1.0, max_neighbours=5).nnz == 0
    steps = transitions(nobody, max_gap=3, backward=0.5, shrinkage=1.0, max_neighbours=5)
    assert steps.nnz == two_steps(steps, max_neighbours=5).nnz == 0
    assert linear_autoencoder(nobody, l2=1.0, max_neighbours=5).shape == (12, 12)
