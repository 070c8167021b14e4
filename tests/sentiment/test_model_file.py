import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_model import tiny_model, tokenizer

from sentiment.batching import padded
from sentiment.characters import character_tokenizer
from sentiment.encoder import load_base
from sentiment.encoder_files import DEFAULT_ENCODER
from sentiment.errors import WeightsError
from sentiment.model_file import TrainedModel, load_model, save_model
from sentiment.review_model import ReviewModel, ReviewModelConfig


def save_own(path: Path) -> TrainedModel:
    trained = TrainedModel(
        model=tiny_model(own_words=True).eval(),
        tokenizer=character_tokenizer(["很好用"] * 3),
        base=None,
    )
    save_model(path, trained)
    return trained


def rewritten(path: Path, **metadata: str) -> Path:
    """Write a file again with other metadata; None drops a key."""
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        content = file.metadata() | metadata
    save_file(state, path, metadata={k: v for k, v in content.items() if v})
    return path


def test_a_model_with_its_own_encoder_comes_back_whole(tmp_path: Path) -> None:
    trained = save_own(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.base is None
    assert loaded.model.config == trained.model.config
    assert loaded.tokenizer.encode("很好").ids == trained.tokenizer.encode("很好").ids
    assert not loaded.model.training
    with torch.no_grad():
        read = [m.encode(*padded([[2, 5, 6, 3]], "cpu")) for m in (trained.model, loaded.model)]
    torch.testing.assert_close(read[0].tokens_BLD, read[1].tokens_BLD, atol=5e-3, rtol=5e-3)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.safetensors"]


def test_a_model_over_a_base_leaves_its_words_with_the_base(tmp_path: Path) -> None:
    encoder, tokens = load_base(DEFAULT_ENCODER)
    path = tmp_path / "model.safetensors"
    model = ReviewModel(encoder, ReviewModelConfig(emotions=("joy",), hidden_dim=8))
    model.emotion_thresholds.fill_(0.3)
    save_model(path, TrainedModel(model=model, tokenizer=tokens, base=DEFAULT_ENCODER))
    with safe_open(path, framework="pt") as file:
        assert not [name for name in file.keys() if "embeddings" in name]  # noqa: SIM118
    loaded = load_model(path)
    assert loaded.base == DEFAULT_ENCODER
    assert loaded.model.emotion_thresholds.tolist() == pytest.approx([0.3])
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], tensor, atol=2e-3, rtol=1e-3)


def test_weights_over_another_base_are_refused(tmp_path: Path) -> None:
    save_own(tmp_path / "model.safetensors")
    base = json.dumps({"name": DEFAULT_ENCODER, "sha256": "abc"})
    path = rewritten(tmp_path / "model.safetensors", base=base)
    with pytest.raises(WeightsError, match="trained over all-MiniLM-L6-v2 with SHA-256 abc"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all"])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_model(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "0"}, "is of format '0'"),
        ({"config": "{"}, "is damaged"),
        ({"config": ""}, "is damaged"),
        ({"encoder": ""}, "is damaged"),
        ({"config": json.dumps({"emotions": ["joy"], "colour": 1})}, "is damaged"),
        ({"config": json.dumps({"emotions": ["joy"], "hidden_dim": 4})}, "is damaged"),
    ],
)
def test_a_file_of_another_form_is_refused(
    tmp_path: Path, metadata: dict[str, str], message: str
) -> None:
    save_own(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_model(rewritten(tmp_path / "model.safetensors", **metadata))


def test_the_tokenizer_of_the_tests_is_that_of_the_base() -> None:
    assert tokenizer().encode("strap").ids == load_base(DEFAULT_ENCODER)[1].encode("strap").ids
