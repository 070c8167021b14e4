from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from sentiment.errors import WeightsError
from sentiment.star_head import StarHead, StarHeadConfig, polarity_probabilities

CONFIG = StarHeadConfig(layers=(0, 2), input_dim=4, hidden_dim=6)


@pytest.fixture
def head() -> StarHead:
    torch.manual_seed(5)
    head = StarHead(CONFIG)
    head.mean.normal_()
    head.scale.uniform_(0.5, 2.0)
    head.temperature.fill_(1.3)
    return head.eval()


def hidden_states(num_texts: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(num_texts, 3, 4)).astype(np.float32)


def test_features_are_the_named_layers_in_order(head: StarHead) -> None:
    hidden = hidden_states(2)
    wanted = np.concatenate([hidden[:, 0], hidden[:, 2]], axis=1)
    np.testing.assert_array_equal(head.features(hidden).numpy(), wanted)


def test_stars_are_a_tempered_softmax(head: StarHead) -> None:
    hidden = hidden_states(7)
    stars = head.star_probabilities(hidden)
    with torch.no_grad():
        logits = head.net((head.features(hidden) - head.mean) / head.scale).numpy() / 1.3
    wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(stars, wanted, atol=1e-6)
    assert stars.dtype == np.float32


def test_no_texts_give_no_rows(head: StarHead) -> None:
    assert head.star_probabilities(hidden_states(0)).shape == (0, 5)


@given(st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5))
def test_polarity_sums_the_stars(weights: list[float]) -> None:
    stars = np.array([weights]) / sum(weights)
    polarity = polarity_probabilities(stars)
    assert polarity.shape == (1, 3)
    np.testing.assert_allclose(polarity.sum(), 1.0, atol=1e-12)
    np.testing.assert_allclose(polarity[0, 0] + polarity[0, 1], stars[0, :3].sum(), atol=1e-12)


def test_save_and_load_keep_the_head(head: StarHead, tmp_path: Path) -> None:
    head.save(tmp_path / "head.safetensors")
    loaded = StarHead.load(tmp_path / "head.safetensors")
    assert not loaded.training
    assert loaded.config == CONFIG
    hidden = hidden_states(5)
    found, wanted = loaded.star_probabilities(hidden), head.star_probabilities(hidden)
    np.testing.assert_allclose(found, wanted, atol=2e-3)


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_damaged_or_missing_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "head.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"star head .*head\.safetensors cannot be read"):
        StarHead.load(path)


def test_cut_file_is_refused(head: StarHead, tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    head.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="cannot be read"):
        StarHead.load(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"layers": "0,2", "input_dim": "4", "hidden_dim": "7"},
        {"layers": "", "input_dim": "4", "hidden_dim": "6"},
        {"layers": "0,2", "input_dim": "four", "hidden_dim": "6"},
    ],
)
def test_shape_that_does_not_fit_the_weights_is_refused(
    head: StarHead, tmp_path: Path, metadata: dict[str, str]
) -> None:
    save_file(head.state_dict(), tmp_path / "head.safetensors", metadata=metadata)
    with pytest.raises(WeightsError, match="cannot be read"):
        StarHead.load(tmp_path / "head.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"layers": ()}, "at least one hidden layer"), ({"dropout": 1.0}, "not 1.0")],
)
def test_config_out_of_range_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StarHeadConfig(**change)
