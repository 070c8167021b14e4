"""The real encoder and scorer, loaded once for the whole run."""

from collections.abc import Iterator

import pytest
import torch

from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.scorer import ReviewScorer, ScorerConfig


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Steps this small lose more to waiting for threads than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def encoder() -> TextEncoder:
    return TextEncoder.load(EncoderConfig(max_tokens=48))


@pytest.fixture(scope="session")
def scorer() -> ReviewScorer:
    return ReviewScorer.load(ScorerConfig(max_tokens=48, precision="fp32"))
