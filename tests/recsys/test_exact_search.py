"""Exact search finds what a sort of all products finds."""

import numpy as np
import pytest
import torch

from recsys.exact_search import ExactSearch

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
def test_the_best_are_those_of_a_sort(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 16)).astype(np.float32)
    queries = rng.normal(size=(7, 16)).astype(np.float32)
    search = ExactSearch(vectors, device)
    found = search.best(queries, 20)
    assert (found == np.argsort(-(queries @ vectors.T), axis=1)[:, :20]).all()
    assert found.dtype == np.int32
    assert len(search) == 500


def test_fewer_items_than_wanted_are_all_of_them() -> None:
    search = ExactSearch(np.eye(3, dtype=np.float32), "cpu")
    found = search.best(np.array([[0.1, 0.3, 0.2]], dtype=np.float32), 10)
    assert found.tolist() == [[1, 2, 0]]
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        search.best(np.ones((1, 3), dtype=np.float32), 0)


def test_a_device_that_is_not_there_is_an_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises((RuntimeError, AssertionError), match="CUDA"):
        ExactSearch(np.eye(3, dtype=np.float32), "cuda")
