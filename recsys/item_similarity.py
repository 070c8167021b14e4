"""Item-to-item tables learned from interactions. Each is a sparse (I, I) matrix.

A user's score for an item is the weighted sum of the rows of the items in their history, so all of
these are one artefact and one lookup at serving time.
"""

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp

from recsys import kernels
from recsys.interactions import Interactions

_STRONGEST_STEPS = 50


def co_visitation(
    interactions: Interactions, *, shrinkage: float, max_neighbours: int
) -> sp.csr_matrix:
    """Cosine of item columns with a shrunk denominator: c_ij / (sqrt(n_i n_j) + shrinkage).

    Source: Sarwar et al. 2001, shrinkage as in Bell and Koren 2007.
    """
    counts = _binary(interactions)
    together = (counts.T @ counts).tocoo()
    popularity = np.asarray(counts.sum(0)).ravel()
    off_diagonal = together.row != together.col
    row, col = together.row[off_diagonal], together.col[off_diagonal]
    norm = np.sqrt(popularity[row] * popularity[col]) + shrinkage
    table = sp.csr_matrix((together.data[off_diagonal] / norm, (row, col)), shape=together.shape)
    return keep_strongest(table, max_neighbours)


def transitions(
    interactions: Interactions,
    *,
    max_gap: int,
    backward: float,
    shrinkage: float,
    max_neighbours: int,
) -> sp.csr_matrix:
    """What comes next: ordered pairs up to `max_gap` apart, the closer the more, popularity-normed.

    t_ij / (sqrt(n_i n_j) + shrinkage), where t_ij adds 1 / sqrt(gap) each time j follows i, and
    `backward` times as much each time it comes before.
    """
    num_items = interactions.num_items
    rows, cols, values = [], [], []
    for gap in range(1, max_gap + 1):
        same = interactions.user_idx[gap:] == interactions.user_idx[:-gap]
        earlier = interactions.item_idx[:-gap][same]
        later = interactions.item_idx[gap:][same]
        for row, col, weight in ((earlier, later, 1.0), (later, earlier, backward)):
            rows.append(row)
            cols.append(col)
            values.append(np.full(len(row), weight / np.sqrt(gap)))
    table = sp.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))),
        shape=(num_items, num_items),
    ).tocoo()
    popularity = interactions.popularity()
    norm = np.sqrt(popularity[table.row] * popularity[table.col]) + shrinkage
    table = sp.csr_matrix((table.data / norm, (table.row, table.col)), shape=table.shape)
    table.eliminate_zeros()
    return keep_strongest(table, max_neighbours)


def two_steps(table: sp.csr_matrix, *, max_neighbours: int) -> sp.csr_matrix:
    """Neighbours of neighbours: the square of a table without its diagonal.

    Finds what was never taken together but is one item away. Of each row the strongest
    `_STRONGEST_STEPS` are followed, so that a row of the square stays within their square.
    """
    step = keep_strongest(table, _STRONGEST_STEPS)
    square = sp.coo_matrix(step @ step)
    apart = square.row != square.col
    squared = (square.data[apart], (square.row[apart], square.col[apart]))
    return keep_strongest(sp.csr_matrix(squared, shape=square.shape), max_neighbours)


def linear_autoencoder(
    interactions: Interactions, *, l2: float, max_neighbours: int
) -> sp.csr_matrix:
    """EASE: the zero-diagonal item-item regression with a closed form. Costs O(I^3) and I^2 memory.

    Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data".
    """
    counts = _binary(interactions)
    gram = (counts.T @ counts).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += l2
    # Symmetric and positive definite: a third of the work of a general inverse.
    factor, _ = sl.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    (invert,) = sl.get_lapack_funcs(("potri",), (factor,))
    lower, _ = invert(factor, lower=1, overwrite_c=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return keep_strongest(sp.csr_matrix(weights.astype(np.float32)), max_neighbours)


def entries(table: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return table[rows[b], columns[b, k]], 0 where nothing is kept, float32, shape (B, K).

    Args:
        table: Sorted indices, shape (I, I).
        rows: Row of each b, -1 for none, shape (B,).
        columns: Shape (B, K).
    """
    return kernels.row_entries(table.indptr, table.indices, table.data, rows, columns)


def keep_strongest(table: sp.csr_matrix, max_neighbours: int) -> sp.csr_matrix:
    """Keep the entries of largest magnitude of each row; float32, sorted indices."""
    table = sp.csr_matrix(table, dtype=np.float32)
    lengths = np.diff(table.indptr)
    if lengths.max(initial=0) > max_neighbours:
        row = np.repeat(np.arange(len(lengths)), lengths)
        order = np.lexsort((-np.abs(table.data), row))
        place = np.arange(len(order)) - table.indptr[row[order]]
        kept = np.sort(order[place < max_neighbours])
        entries_kept = (table.data[kept], (row[kept], table.indices[kept]))
        table = sp.csr_matrix(entries_kept, shape=table.shape)
    table.sort_indices()
    return table


def _binary(interactions: Interactions) -> sp.csr_matrix:
    ones = np.ones(len(interactions), dtype=np.float32)
    shape = (interactions.num_users, interactions.num_items)
    return sp.csr_matrix((ones, (interactions.user_idx, interactions.item_idx)), shape=shape)
