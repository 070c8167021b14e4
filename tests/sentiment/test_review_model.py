from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_model import NUM_EMOTIONS, tiny_encoder, tiny_model

from sentiment.errors import WeightsError
from sentiment.finetuning import padded
from sentiment.review_model import ReviewModel, ReviewModelConfig

IDS = [[101, 2204, 102], [101, 2919, 3185, 999, 102]]


def test_a_fresh_embedding_is_the_mean_of_the_last_layer() -> None:
    model = tiny_model().eval()
    ids_BL, mask_BL = padded(IDS, "cpu")
    with torch.no_grad():
        found = model.embed(model.encode(ids_BL, mask_BL))
        for row, ids in enumerate(IDS):
            alone = model.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
            torch.testing.assert_close(found[row], alone / alone.norm(), atol=1e-6, rtol=1e-5)


def test_padding_changes_no_signal() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        together = model.encode(*padded(IDS, "cpu"))
        alone = model.encode(*padded(IDS[:1], "cpu"))
        spans = [torch.tensor([x]) for x in (0, 1, 2)]
        for read in (
            lambda encoded: model.stars(encoded.summary_BX)[0],
            lambda encoded: model.emotions(encoded.summary_BX)[0],
            lambda encoded: model.tags(encoded.tokens_BLD)[0, :3],
            lambda encoded: model.polarity_of_spans(encoded, *spans)[0],
        ):
            torch.testing.assert_close(read(together), read(alone), atol=1e-6, rtol=1e-5)


def test_a_span_is_read_from_the_mean_of_its_own_tokens() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        encoded = model.encode(*padded(IDS, "cpu"))
        row, start, end = torch.tensor([1, 0]), torch.tensor([1, 1]), torch.tensor([4, 2])
        found = model.polarity_of_spans(encoded, row, start, end)
        span = encoded.tokens_BLD[1, 1:4].mean(0)
        wanted = model.span_polarity(torch.cat([span, encoded.summary_BX[1]]))
    torch.testing.assert_close(found[0], wanted, atol=1e-6, rtol=1e-5)
    assert found.shape == (2, 3)


def test_weights_come_back_over_the_base(tmp_path: Path) -> None:
    model, path = tiny_model(), tmp_path / "model.safetensors"
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    model.save(path, base="abc")
    with safe_open(path, framework="pt") as file:
        assert not [name for name in file.keys() if "embeddings" in name]  # noqa: SIM118
    loaded = ReviewModel.load(path, tiny_encoder(), base="abc")
    assert loaded.config == ReviewModelConfig(num_emotions=NUM_EMOTIONS, hidden_dim=16)
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, atol=2e-3, rtol=1e-3)


def test_weights_over_another_base_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tiny_model().save(path, base="abc")
    with pytest.raises(WeightsError, match="trained over an encoder with SHA-256 abc"):
        ReviewModel.load(path, tiny_encoder(), base="def")


@pytest.mark.parametrize("content", [b"", b"no safetensors at all"])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        ReviewModel.load(path, tiny_encoder(), base="abc")


def test_weights_that_lack_a_head_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    state = {k: v for k, v in tiny_model().trained_state().items() if not k.startswith("tags")}
    metadata = {"base": "abc", "num_emotions": "3", "hidden_dim": "16"}
    save_file(state, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"lacks \['tags"):
        ReviewModel.load(path, tiny_encoder(), base="abc")


def test_a_dropout_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="dropout must be within"):
        ReviewModelConfig(dropout=1.0)
