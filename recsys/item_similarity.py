"""Item-to-item tables learned from interactions. Each is a sparse (I, I) matrix.

A user's score for an item is the weighted sum of the rows of the items in their history, so all of
these are one artefact and one lookup at serving time.
"""

import numpy as np
import scipy.sparse as sp

from recsys.interactions import Interactions


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
    interactions: Interactions, *, max_gap: int, shrinkage: float, max_neighbours: int
) -> sp.csr_matrix:
    """What comes next: sum over ordered pairs up to `max_gap` apart of 1 / gap, popularity-normed.

    t_ij / (sqrt(n_i n_j) + shrinkage), where t_ij adds 1 / gap each time j follows i.
    """
    num_items = interactions.num_items
    rows, cols, values = [], [], []
    for gap in range(1, max_gap + 1):
        same = interactions.user_idx[gap:] == interactions.user_idx[:-gap]
        rows.append(interactions.item_idx[:-gap][same])
        cols.append(interactions.item_idx[gap:][same])
        values.append(np.full(same.sum(), 1.0 / gap))
    table = sp.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))),
        shape=(num_items, num_items),
    ).tocoo()
    popularity = interactions.popularity()
    norm = np.sqrt(popularity[table.row] * popularity[table.col]) + shrinkage
    table = sp.csr_matrix((table.data / norm, (table.row, table.col)), shape=table.shape)
    return keep_strongest(table, max_neighbours)


def linear_autoencoder(
    interactions: Interactions, *, l2: float, max_neighbours: int
) -> sp.csr_matrix:
    """EASE: the zero-diagonal item-item regression with a closed form. Costs O(I^3) and I^2 memory.

    Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data".
    """
    counts = _binary(interactions)
    gram = (counts.T @ counts).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return keep_strongest(sp.csr_matrix(weights.astype(np.float32)), max_neighbours)


def keep_strongest(table: sp.csr_matrix, max_neighbours: int) -> sp.csr_matrix:
    """Keep the entries of largest magnitude of each row; float32, sorted indices."""
    num_items = len(table.indptr) - 1
    table = sp.csr_matrix(table, dtype=np.float32)
    lengths = np.diff(table.indptr)
    if lengths.max(initial=0) > max_neighbours:
        row = np.repeat(np.arange(num_items), lengths)
        order = np.lexsort((-np.abs(table.data), row))
        place = np.arange(len(order)) - table.indptr[row[order]]
        kept = np.sort(order[place < max_neighbours])
        table = sp.csr_matrix(
            (table.data[kept], (row[kept], table.indices[kept])), (num_items, num_items)
        )
    table.sort_indices()
    return table


def _binary(interactions: Interactions) -> sp.csr_matrix:
    ones = np.ones(len(interactions), dtype=np.float32)
    shape = (interactions.num_users, interactions.num_items)
    return sp.csr_matrix((ones, (interactions.user_idx, interactions.item_idx)), shape=shape)
